"""Named schedules: what each is, where it comes from, and what is and is not known of it.

None is advertised as the best. Which order of widths trains best is an open question: the papers
below contradict each other, and at small scale the ranking changes with the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Any

from elmcfg.schedule import numpy_round

Keys = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """A named schedule.

    Attributes:
        name: As on the command line.
        summary: Its form.
        source: Where it comes from.
        known: What is and is not known of its quality.
        keys: From a depth to the keys of a config that say it: ``qkv_multipliers``,
            ``ffn_multipliers`` and, where it needs one, ``schedule``.
    """

    name: str
    summary: str
    source: str
    known: str
    keys: Callable[[int], Keys]


def cosine(first: float, last: float, num_layers: int) -> tuple[float, ...]:
    """Half a period of a cosine from ``first`` to ``last``, to two decimals; one per layer."""
    middle, swing = (first + last) / 2, (first - last) / 2
    steps = max(num_layers - 1, 1)
    return tuple(numpy_round(middle + swing * cos(pi * i / steps), 2) for i in range(num_layers))


def plateaus(values: Sequence[float], num_layers: int) -> tuple[float, ...]:
    """Each value held for an equal share of the depth, the later ones longer by a layer if need be.

    With fewer layers than values the first ones are left out.
    """
    count = len(values)
    return tuple(
        values[count - 1 - (num_layers - 1 - i) * count // num_layers] for i in range(num_layers)
    )


def _points(qkv: Sequence[float], ffn: Sequence[float], **schedule: Any) -> Callable[[int], Keys]:
    keys: Keys = {"qkv_multipliers": tuple(qkv), "ffn_multipliers": tuple(ffn)}
    return lambda num_layers: keys | ({"schedule": schedule} if schedule else {})


_FRAMES_PAPER = "arXiv 2509.06518; baroian/OLMo-custom"
_DTYPE_BUG = (
    "Its authors report a dtype bug that zeroed every other token, so that the perplexities "
    "of the paper say nothing about it"
)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "uniform",
            "every layer the same: the means of vanilla, 0.75 and 2.25",
            "every classic decoder",
            "The baseline. In a small trial (1.3M parameters, bytes of English, three seeds) no "
            "other profile beat it beyond the spread of seeds.",
            _points((0.75,), (2.25,)),
        ),
        Profile(
            "vanilla",
            "a straight line from narrow to wide: 0.5 to 1.0 (QKV), 0.5 to 4.0 (FFN)",
            "OpenELM, arXiv 2404.14619; DeLighT, arXiv 2008.00623",
            "What the released OpenELM models have. Their authors report better accuracy than "
            "OLMo's at as many parameters; data and recipe differ as well.",
            _points((0.5, 1.0), (0.5, 4.0)),
        ),
        Profile(
            "reverse",
            "a straight line from wide to narrow",
            _FRAMES_PAPER,
            f"{_DTYPE_BUG}.",
            _points((1.0, 0.5), (4.0, 0.5)),
        ),
        Profile(
            "framed",
            "vanilla, then the first and the last layer at full width",
            _FRAMES_PAPER,
            f"{_DTYPE_BUG}.",
            _points(
                (0.5, 1.0), (0.5, 4.0), frame_qkv_multiplier=1.0, frame_ffn_multiplier=4.0
            ),
        ),
        Profile(
            "crown",
            "widest in the middle (one layer of an odd depth, two of an even one), and framed; "
            "multipliers are not rounded",
            _FRAMES_PAPER,
            f"{_DTYPE_BUG}.",
            _points(
                (0.5, 1.0, 0.5),
                (0.5, 3.8, 0.5),
                decimals=None,
                frame_qkv_multiplier=1.0,
                frame_ffn_multiplier=4.0,
            ),
        ),
        Profile(
            "bowtie",
            "wide ends, narrow middle",
            "after arXiv 2606.18246",
            "The paper varies the residual width as well, which one model_dim cannot say; this "
            "is its form alone, and nothing is known of it.",
            _points((1.0, 0.5, 1.0), (4.0, 0.5, 4.0)),
        ),
        Profile(
            "tapered",
            "FFN wide early and narrow late, along a cosine from 1.5 to 0.5 times the mean width "
            "(2.25); QKV uniform",
            "arXiv 2606.23670",
            "Its authors argue for it, against OpenELM's order; not tried in OpenELM's "
            "architecture here.",
            lambda n: {
                "qkv_multipliers": (0.75,),
                "ffn_multipliers": cosine(1.5 * 2.25, 0.5 * 2.25, n),
            },
        ),
        Profile(
            "step",
            "three plateaus on vanilla's line: 0.5, 0.75, 1.0 (QKV) and 0.5, 2.25, 4.0 (FFN)",
            "elmcfg, for comparison with vanilla",
            "Nothing is known of it.",
            lambda n: {
                "qkv_multipliers": plateaus((0.5, 0.75, 1.0), n),
                "ffn_multipliers": plateaus((0.5, 2.25, 4.0), n),
            },
        ),
    )
}  # fmt: skip


def profile(name: str) -> Profile:
    """A profile by its name.

    Raises:
        ValueError: If there is none; names those there are.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]
