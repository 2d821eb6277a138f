"""The checks that any bytes must pass, as a config and as a checkpoint.

Used by the property tests and by the fuzzers (``tests/fuzz/``).
"""

import contextlib
from pathlib import Path

from elmcfg import fixes
from elmcfg.conversion import weights
from elmcfg.document import decode, json_reader, plain_yaml, yaml_reader
from elmcfg.formats import checkpoint, gguf, safetensors
from elmcfg.formats.safetensors import CheckpointError
from elmcfg.linter import check as checked
from elmcfg.linter import diagnose
from elmcfg.render import frames
from elmcfg.render.style import Style
from elmcfg.sources import read


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


def check_checkpoint(raw: bytes, folder: Path) -> bool:
    """Read headers, what they tell of a config, and the weights; each is told or refused in words.

    Args:
        raw: The bytes of a file, whose first one chooses the format.
        folder: Where it may lie.

    Returns:
        Whether it was a checkpoint to the last tensor.
    """
    is_gguf = raw[:1] >= b"\x80"
    file = folder / ("x.gguf" if is_gguf else "x.safetensors")
    file.write_bytes(raw[1:])
    with contextlib.suppress(CheckpointError):
        told = gguf.read_header(file).tensors if is_gguf else safetensors.read_headers(file)
        assert all(
            0 < entry.start <= entry.start + entry.nbytes <= len(raw) - 1 for entry in told.values()
        )
    try:
        checkpoint.read(file)
    except CheckpointError:
        assert read(file).data is None
        return False
    config, found = checked(read(file))
    if config is None:
        assert found
        return False
    try:
        opened = weights.of_file(file, config)
    except weights.ConversionError:
        return False
    for name, shape in opened.shapes.items():
        assert opened.read(name).shape == shape
    return True
