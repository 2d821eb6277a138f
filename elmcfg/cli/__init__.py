"""The command line: parse, call one function, print, exit."""

from elmcfg.cli.main import main

__all__ = ["main"]
