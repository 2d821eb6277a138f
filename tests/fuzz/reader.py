"""Fuzzing of the readers with atheris, for as long as one likes. Not part of the test suite.

    python -m pip install atheris
    python tests/fuzz/reader.py -max_total_time=300 -max_len=600 CORPUS

Any bytes must become a document: with values or with a problem, never with an exception. What is
read must be what the other reader of the notation reads, every place must lie in the text, and
mending must end. What was found so far stands in ``tests/test_fuzz.py``, which needs no atheris.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
with atheris.instrument_imports(include=["elmcfg"]):
    from hardness import check

if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
