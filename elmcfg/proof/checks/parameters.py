"""Every tensor is there, named as in the released checkpoints, with the shape it should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmcfg.costs import cost
from elmcfg.proof.subject import CheckFailedError, Subject, some

if TYPE_CHECKING:
    import mlx.core as mx

_SHOWN = 3


def check(subject: Subject) -> str:
    """Compare names, shapes, dtypes and the count with what the config says.

    Returns:
        How many tensors and parameters there are.

    Raises:
        CheckFailedError: Naming the first tensors that differ, or both counts.
    """
    built = subject.parameters
    problems = _differences(subject, built)
    if problems:
        raise CheckFailedError(some(problems, _SHOWN, "; "))
    predicted = cost(subject.config).parameters.total
    if subject.counted != predicted:
        raise CheckFailedError(
            f"the model has {subject.counted:,} parameters, the closed form says {predicted:,}"
        )
    return f"{len(built)} tensors, {predicted:,} parameters"


def _differences(subject: Subject, built: dict[str, mx.array]) -> list[str]:
    expected = subject.shape.tensor_shapes()
    problems = [f"{name} is missing" for name in expected if name not in built]
    problems += [f"{name} is not expected" for name in built if name not in expected]
    for name, shape in expected.items():
        tensor = built.get(name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            problems.append(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
        if str(tensor.dtype) != f"mlx.core.{subject.dtype}":
            problems.append(f"{name} has dtype {tensor.dtype}, expected {subject.dtype}")
    return problems
