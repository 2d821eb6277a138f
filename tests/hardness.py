"""The check that any bytes must pass: read, diagnosed, shown and mended without an exception.

Used by the property tests and by the fuzzer (``tests/fuzz/reader.py``).
"""

from elmcfg import fixes
from elmcfg.document import decode, json_reader, plain_yaml, yaml_reader
from elmcfg.linter import diagnose
from elmcfg.render import frames
from elmcfg.render.style import Style


def check(raw: bytes) -> None:
    """Read, diagnose, show and mend; the same check as in the test suite.

    Args:
        raw: The bytes of a file, whose first one chooses the notation.
    """
    path = "x.json" if raw[:1] < b"\x80" else "x.yaml"
    document = decode(raw[1:], path)
    assert document.data is not None or document.diagnostics
    if document.format == "yaml":
        plain = plain_yaml.read(document.text)
        if plain is not None:
            full = yaml_reader.read(document.text)
            assert not full.problems
            assert repr(full.data) == repr(plain)
    elif document.data is not None and not document.diagnostics:
        assert repr(json_reader.read(document.text).data) == repr(document.data)
    found = diagnose(document)
    for d in found:
        if d.span is not None and document.text:
            start, end = document.lines.offsets(d.span)
            assert 0 <= start <= end <= len(document.text) + 1
    frames.diagnostics(found, document.lines, Style(colour=True), 60).encode()
    once, _ = fixes.mend(document, diagnose, unsafe=True)
    twice, done = fixes.mend(once, diagnose, unsafe=True)
    assert not done
    assert twice.text == once.text
