"""A name for a finding that stays the same while lines are added above it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from elmcfg.diagnostics import Diagnostic


def fingerprints(found: Iterable[Diagnostic], path: str) -> Iterator[tuple[Diagnostic, str]]:
    """Each finding of a file with its fingerprint.

    It is made of the path, the code and the entry of the config, and neither of lines and columns
    nor of the message, whose figures change as the file is worked on. Findings that agree in these
    are told apart by their order.
    """
    seen: Counter[str] = Counter()
    for d in found:
        name = f"{path}\0{d.code}\0{d.pointer}"
        seen[name] += 1
        whole = f"{name}\0{seen[name]}".encode("utf-8", "surrogatepass")
        yield d, hashlib.sha256(whole).hexdigest()[:32]
