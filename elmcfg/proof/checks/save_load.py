"""What is written to disk comes back bit by bit, and mlx-lm computes the same from it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.proof.mlx_lm import mlx_lm_model
from elmcfg.proof.subject import CheckFailedError, Subject
from elmcfg.proof.tolerance import expect_close, share_of_difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    import mlx.core as mx


def check(subject: Subject) -> str:
    """Write every tensor to a safetensors file, read it back, and hand it to mlx-lm's OpenELM.

    One layer is on disk at a time, in a temporary folder, so this needs no room for the model.
    Names and shapes must be those of the released checkpoints, and the bits the same. mlx-lm, where
    it is installed, must take exactly these tensors and give the same logits; what it cannot
    express (a feed-forward without a gate) it would silently build as another model, so it is left
    out there.

    Tolerance of the logits: :data:`elmcfg.proof.tolerance.TOLERANCES`; to the last bit in practice.

    Raises:
        CheckFailedError: Naming the first tensor that differs, or mlx-lm's difference.
    """
    import mlx.core as mx

    subject.evaluate()
    expected = dict(subject.shape.tensor_shapes())
    reading: dict[str, mx.array] = {}
    for index, part in enumerate(_parts(subject.parameters)):
        subject.note(f"part {index}")
        came_back = _written_and_read(part, expected)
        mx.async_eval(came_back)
        # MLX reads and compares one part while the next is written.
        _check_bits(reading)
        reading = came_back
    _check_bits(reading)
    if expected:
        raise CheckFailedError(f"{next(iter(expected))} is not written")
    count = len(subject.shape.tensor_shapes())
    return f"{count} tensors come back bit by bit; {_in_mlx_lm(subject)}"


def _parts(tensors: dict[str, mx.array]) -> Iterator[dict[str, mx.array]]:
    """The tensors of each layer, and the rest."""
    parts: dict[str, dict[str, mx.array]] = {}
    for name, tensor in tensors.items():
        prefix = ".".join(name.split(".")[:3]) if ".layers." in name else ""
        parts.setdefault(prefix, {})[name] = tensor
    yield from parts.values()


def _written_and_read(
    part: dict[str, mx.array], expected: dict[str, tuple[int, ...]]
) -> dict[str, mx.array]:
    """Whether each tensor comes back bit by bit, lazily; takes it from those ``expected``."""
    import mlx.core as mx

    same = {}
    with tempfile.TemporaryDirectory(prefix="elmcfg-") as folder:
        file = str(Path(folder) / "model.safetensors")
        mx.save_safetensors(file, part)
        # MLX has opened the file for good here: it can be read when it has no name any more.
        loaded: Any = mx.load(file)
    for name, tensor in loaded.items():
        if tuple(tensor.shape) != expected.pop(name, None):
            raise CheckFailedError(f"{name} {tuple(tensor.shape)} is not of a checkpoint")
        if tensor.dtype != part[name].dtype:
            raise CheckFailedError(f"{name} comes back as {tensor.dtype}")
        same[name] = mx.array_equal(tensor, part[name])
    return same


def _check_bits(same: dict[str, mx.array]) -> None:
    for name, each in same.items():
        if not each.item():
            raise CheckFailedError(f"{name} does not come back as it was written")


def _in_mlx_lm(subject: Subject) -> str:
    if not subject.config.ffn_with_glu:
        return "mlx-lm has no feed-forward without a gate"
    theirs = mlx_lm_model(subject.config)
    if theirs is None:
        return "mlx-lm is not installed"
    subject.note("mlx-lm")
    try:
        theirs.load_weights(list(subject.parameters.items()), strict=True)
    except ValueError as error:
        raise CheckFailedError(f"mlx-lm refuses the tensors: {error}") from error
    tokens = subject.short_tokens
    ours = subject.logits[:1, : tokens.shape[1]]
    share = share_of_difference(theirs(tokens), ours)
    expect_close("mlx-lm computes other logits", share, subject.dtype)
    return f"mlx-lm's logits within {share:.1g}"
