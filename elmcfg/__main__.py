"""``python -m elmcfg``.

Python puts the working directory before its own library then, and a folder of configs may hold a
``json.py``. So that comes off the path before anything else is imported (``from __future__`` is an
import too).
"""

import sys

if not sys.flags.safe_path and sys.path:
    import os  # which Python itself has imported before

    try:
        if sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
            del sys.path[0]
    except FileNotFoundError:
        # The working directory was deleted, so that nothing lies in it.
        pass

from elmcfg.cli import main

main()
