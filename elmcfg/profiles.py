"""Named schedules: what each is, where it comes from, and what is and is not known of it.

None is advertised as the best. Which order of widths trains best is an open question: the papers
below contradict each other, and at small scale the ranking changes with the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elmcfg.schedule import multipliers


@dataclass(frozen=True, slots=True)
class Profile:
    """A named schedule.

    Attributes:
        name: As on the command line.
        summary: Its form.
        source: Where it comes from.
        known: What is and is not known of its quality.
        qkv: Control points of the query width.
        ffn: Control points of the feed-forward width.
        curve: What runs through them; a name in :data:`elmcfg.schedule.CURVES`.
        schedule: Keys of a config's ``schedule``, where it needs any.
    """

    name: str
    summary: str
    source: str
    known: str
    qkv: tuple[float, ...]
    ffn: tuple[float, ...]
    curve: str = "linear"
    schedule: Mapping[str, Any] = field(default_factory=dict)

    def keys(self, num_layers: int) -> dict[str, Any]:
        """The keys of a config of this depth that say it.

        A config knows straight lines between control points alone, so that another curve is
        written out, one multiplier per layer.
        """
        points = {"qkv_multipliers": self.qkv, "ffn_multipliers": self.ffn}
        keys: dict[str, Any] = {
            key: values
            if self.curve == "linear" or len(values) == 1
            else multipliers(values, num_layers, curve=self.curve)
            for key, values in points.items()
        }
        return keys | ({"schedule": dict(self.schedule)} if self.schedule else {})


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
            (0.75,),
            (2.25,),
        ),
        Profile(
            "vanilla",
            "a straight line from narrow to wide: 0.5 to 1.0 (QKV), 0.5 to 4.0 (FFN)",
            "OpenELM, arXiv 2404.14619; DeLighT, arXiv 2008.00623",
            "What the released OpenELM models have. Their authors report better accuracy than "
            "OLMo's at as many parameters; data and recipe differ as well.",
            (0.5, 1.0),
            (0.5, 4.0),
        ),
        Profile(
            "reverse",
            "a straight line from wide to narrow",
            _FRAMES_PAPER,
            f"{_DTYPE_BUG}.",
            (1.0, 0.5),
            (4.0, 0.5),
        ),
        Profile(
            "framed",
            "vanilla, then the first and the last layer at full width",
            _FRAMES_PAPER,
            f"{_DTYPE_BUG}.",
            (0.5, 1.0),
            (0.5, 4.0),
            schedule={"frame_qkv_multiplier": 1.0, "frame_ffn_multiplier": 4.0},
        ),
        Profile(
            "crown",
            "widest in the middle (one layer of an odd depth, two of an even one), and framed; "
            "multipliers are not rounded",
            _FRAMES_PAPER,
            f"{_DTYPE_BUG}.",
            (0.5, 1.0, 0.5),
            (0.5, 3.8, 0.5),
            schedule={
                "decimals": None,
                "frame_qkv_multiplier": 1.0,
                "frame_ffn_multiplier": 4.0,
            },
        ),
        Profile(
            "bowtie",
            "wide ends, narrow middle",
            "after arXiv 2606.18246",
            "The paper varies the residual width as well, which one model_dim cannot say; this "
            "is its form alone, and nothing is known of it.",
            (1.0, 0.5, 1.0),
            (4.0, 0.5, 4.0),
        ),
        Profile(
            "tapered",
            "FFN wide early and narrow late, along a cosine from 1.5 to 0.5 times the mean width "
            "(2.25); QKV uniform",
            "arXiv 2606.23670",
            "Its authors argue for it, against OpenELM's order; not tried in OpenELM's "
            "architecture here.",
            (0.75,),
            (1.5 * 2.25, 0.5 * 2.25),
            curve="cosine",
        ),
        Profile(
            "step",
            "three plateaus on vanilla's line: 0.5, 0.75, 1.0 (QKV) and 0.5, 2.25, 4.0 (FFN)",
            "elmcfg, for comparison with vanilla",
            "Nothing is known of it.",
            (0.5, 0.75, 1.0),
            (0.5, 2.25, 4.0),
            curve="plateaus",
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
