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
    subject.evaluate()
    expected = dict(subject.shape.tensor_shapes())
    for index, part in enumerate(_parts(subject.parameters)):
        subject.note(f"part {index}")
        for name, tensor in _written_and_read(part).items():
            if tuple(tensor.shape) != expected.pop(name, None):
                raise CheckFailedError(f"{name} {tuple(tensor.shape)} is not of a checkpoint")
            if not _same_bits(tensor, part[name]):
                raise CheckFailedError(f"{name} does not come back as it was written")
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


def _written_and_read(part: dict[str, mx.array]) -> dict[str, mx.array]:
    import mlx.core as mx

    with tempfile.TemporaryDirectory(prefix="elmcfg-") as folder:
        file = str(Path(folder) / "model.safetensors")
        mx.save_safetensors(file, part)
        loaded: Any = mx.load(file)
        mx.eval(loaded)  # Reading is lazy too, and the file goes now.
    return dict(loaded)


def _same_bits(one: mx.array, other: mx.array) -> bool:
    import mlx.core as mx

    return one.dtype == other.dtype and bool(mx.array_equal(one, other).item())


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
    share = share_of_difference(theirs(tokens), subject.evaluated_model(tokens))
    expect_close("mlx-lm computes other logits", share, subject.dtype)
    return f"mlx-lm's logits within {share:.1g}"
