"""Runs a module of this package in a new process: ``python -P start.py elmcfg.proof.worker``.

The child is to run the code that its parent runs, wherever that lies, and its libraries may lie
beside it (``pip install --target``). Their folder comes last on the path: nothing in it may stand
before Python's own library. With ``-P`` the working directory is not on the path at all.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the module that the first argument names as ``__main__``."""
    folder = str(Path(__file__).parent.parent.parent)
    sys.path.insert(0, folder)
    import elmcfg  # noqa: F401  # From here on, all of its modules come from this folder.

    del sys.path[0]
    if folder not in sys.path:
        sys.path.append(folder)
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
