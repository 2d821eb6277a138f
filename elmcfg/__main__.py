"""``python -m elmcfg``."""

from elmcfg.cli import main

main()
