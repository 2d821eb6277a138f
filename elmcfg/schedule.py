"""Depth profiles: a few control points to one multiplier per layer, with CoreNet's arithmetic.

A schedule is written as control points spread evenly over the depth of the model. Two of them are
OpenELM's layer-wise scaling (arXiv 2404.14619, after DeLighT, arXiv 2008.00623): ``[0.5, 4.0]``
means "the first layer 0.5, the last 4.0, a straight line between". CoreNet expands them with
``numpy.linspace`` and rounds each to two decimals with numpy's rounding, and only the same
arithmetic gives the released lists back. It is repeated here on Python floats, bit for bit,
because importing numpy costs a command-line tool more than everything else it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

RELEASED_DECIMALS = 2
"""Decimals that CoreNet and the released models round multipliers to."""


def max_control_points(num_layers: int) -> int:
    """The longest list that is read as control points for a model of this depth.

    Two always are. Beyond that, at most half as many as there are layers, rounded up: a longer
    list is a per-layer list with entries missing, far more often than it is a schedule.
    """
    return max(2, (num_layers + 1) // 2)


def is_control_points(count: int, num_layers: int) -> bool:
    """Whether a list of ``count`` entries is control points (and not one entry per layer)."""
    return count != num_layers and 1 <= count <= min(max_control_points(num_layers), num_layers)


def linspace(start: float, stop: float, num: int) -> tuple[float, ...]:
    """``numpy.linspace(start, stop, num)`` on Python floats, bit for bit.

    Raises:
        ValueError: If ``num`` is not positive.
    """
    if num < 1:
        raise ValueError(f"num must be positive, got {num}")
    if num == 1:
        return (start,)
    step = (stop - start) / (num - 1)
    return (*(i * step + start for i in range(num - 1)), stop)


def numpy_round(value: float, decimals: int) -> float:
    """Round as ``round(numpy.float64(value), decimals)`` does, which is not what Python does.

    numpy scales, rounds half to even, and scales back; Python's :func:`round` rounds the exact
    binary value. ``0.525`` to two decimals is 0.52 with numpy and 0.53 with Python, which moves
    layer 13 of a 21-layer model from one feed-forward width to another.
    """
    scale = 10.0**decimals
    return round(value * scale) / scale


def anchors(count: int, num_layers: int) -> tuple[tuple[int, int], ...]:
    """Where three or more control points stand: pairs of layer and point, in order of depth.

    Each point is reached by at least one layer. A point whose place falls between two layers is
    given to both. For three points and an even depth that is the two-layer peak of the "crown"
    schedule (arXiv 2509.06518, in the code of baroian/OLMo-custom).
    """
    pairs = []
    for point in range(count):
        whole, rest = divmod(point * (num_layers - 1), count - 1)
        pairs += [(layer, point) for layer in ((whole,) if rest == 0 else (whole, whole + 1))]
    return tuple(pairs)


def _through(points: Sequence[float], num_layers: int) -> tuple[float, ...]:
    """Straight lines through three or more points; see :func:`anchors`."""
    pairs = anchors(len(points), num_layers)
    places = [layer for layer, _ in pairs]
    values = [points[point] for _, point in pairs]
    result: list[float] = []
    segment = 0
    for layer in range(num_layers):
        while segment < len(places) - 2 and layer >= places[segment + 1]:
            segment += 1
        left, right = places[segment], places[segment + 1]
        if layer == right:
            result.append(values[segment + 1])
        else:
            slope = (values[segment + 1] - values[segment]) / (right - left)
            result.append(slope * (layer - left) + values[segment])
    return tuple(result)


def cosine_weights(num_layers: int) -> tuple[float, ...]:
    """Half a period of a cosine, from 1 to -1, at each layer."""
    steps = max(num_layers - 1, 1)
    return tuple(cos(pi * i / steps) for i in range(num_layers))


def plateau_places(count: int, num_layers: int) -> tuple[int, ...]:
    """Which of ``count`` points each layer has, when each is held for an equal share of the depth.

    The later ones are held longer by a layer if need be; with fewer layers than points the first
    ones are left out.
    """
    return tuple(count - 1 - (num_layers - 1 - i) * count // num_layers for i in range(num_layers))


CURVES = ("linear", "cosine", "plateaus")
"""What can run through control points: straight lines, which is all that a config knows; half a
period of a cosine from the first of two to the second (arXiv 2606.23670); each point held for an
equal share of the depth. The last two are written out in a config, one multiplier per layer."""


def multipliers(
    points: Sequence[float],
    num_layers: int,
    *,
    decimals: int | None = RELEASED_DECIMALS,
    frame: float | None = None,
    curve: str = "linear",
) -> tuple[float, ...]:
    """One multiplier per layer, from control points or from a list that already has one each.

    Args:
        points: Either ``num_layers`` multipliers, which are returned as they are, or control
            points: one (every layer the same, used unrounded as CoreNet uses a plain number),
            two (CoreNet's layer-wise scaling), or more (straight lines through all of them).
            Two for a cosine; any number for plateaus.
        num_layers: Depth of the model.
        decimals: Round each interpolated multiplier to this many decimals with numpy's rounding;
            ``None`` leaves them as they are.
        frame: Value forced onto the first and the last layer afterwards ("framed" schedules,
            arXiv 2509.06518); ``None`` leaves the ends as they are.
        curve: What runs through the points; one of :data:`CURVES`.

    Returns:
        ``num_layers`` multipliers.

    Raises:
        ValueError: If ``points`` is longer than the model is deep, or neither one per layer nor
            few enough to be control points (:func:`max_control_points`).
    """
    if len(points) == num_layers:
        return tuple(points)
    if curve == "linear" and not is_control_points(len(points), num_layers):
        raise ValueError(
            f"{len(points)} multipliers are neither one per layer ({num_layers}) nor "
            f"1 to {max_control_points(num_layers)} control points"
        )
    if len(points) == 1:
        values = (points[0],) * num_layers
    elif curve == "plateaus":
        values = tuple(points[place] for place in plateau_places(len(points), num_layers))
    else:
        if curve == "cosine":
            first, last = points
            middle, swing = (first + last) / 2, (first - last) / 2
            values = tuple(middle + swing * weight for weight in cosine_weights(num_layers))
        elif len(points) == 2:
            values = linspace(points[0], points[1], num_layers)
        else:
            values = _through(points, num_layers)
        if decimals is not None:
            values = tuple(numpy_round(value, decimals) for value in values)
    if frame is not None:
        values = (frame, *values[1:-1], frame)
    return values
