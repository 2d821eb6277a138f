"""What flags of ``elmcfg scale`` make, as a plan has them: from a recipe, a variant, or a search.

Flags are written as on the command line, without the dashes in front, or as the keywords of
:func:`elmcfg.scale` and :func:`elmcfg.design`, whose defaults they have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.config import Config
from elmcfg.infer import infer
from elmcfg.linter import load
from elmcfg.scaling import rescaled, scale, select_layers
from elmcfg.sources import shipped

if TYPE_CHECKING:
    from elmcfg.search.task import Task

_SPELLINGS = {
    "layers": "num_transformer_layers",
    "queries_per_kv_head": "num_gqa_groups",
    "from": "base",
}
_SCHEDULE = ("decimals", "frame_qkv_multiplier", "frame_ffn_multiplier")
_LIMITS = ("min_", "max_", "target_")
_OPTIONS = (
    "minimize", "maximize", "tolerance", "space", "profile", "base", "like", "multiple_of", "free",
    "time_limit",
)  # fmt: skip
_SEARCH = ("minimize", "maximize", "space", "free", "like", "count")


def told(given: Mapping[str, Any]) -> str:
    """Flags as on the command line."""
    return " ".join(f"--{key.replace('_', '-')} {value}" for key, value in given.items())


def located(source: str, folder: Path, names: Collection[str]) -> str:
    """A path that counts from a folder; one of the names where no such file is there."""
    place = folder / source
    return source if source in names and not place.exists() else str(place)


def scaled(given: Mapping[str, Any], folder: Path) -> list[Config]:
    """The variants that ``elmcfg scale`` makes: one, or as many as ``count`` says.

    Args:
        given: Flags.
        folder: What paths of configs and spaces count from.

    Raises:
        ValueError: If the flags do not go together, or nothing fits a budget.
        FileNotFoundError: If a config or a space is not there.
        elmcfg.InvalidConfigError: If they make no valid config.
    """
    flags = _flags(given, folder)
    searching = any(
        key in _SEARCH or (key.startswith(_LIMITS) and key != "max_context_length") for key in flags
    )
    if "select_layers" in flags and (searching or "base" not in flags):
        raise ValueError("select-layers selects from a variant: give from, and no budget")
    if searching:
        return _designs(flags)
    layers = flags.get("select_layers", [])
    if not isinstance(layers, list) or not all(isinstance(i, int) for i in layers):
        raise ValueError("select-layers is a list of layers, such as [0, 4, 8]")
    base, profile = flags.pop("base", None), flags.pop("profile", None)
    if base is None:
        missing = [k for k in ("num_transformer_layers", "model_dim") if k not in flags]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)} missing; or give a budget such as target-params: 600M, "
                "or from: CONFIG"
            )
        return [scale(**flags, profile=profile or "vanilla")]
    if "select_layers" in flags:
        return [select_layers(base, flags.pop("select_layers"), flags)]
    return [rescaled(base, infer(base), flags, profile)]


def front(costs: str, count: int, given: Mapping[str, Any], folder: Path) -> list[Config]:
    """Designs well spread along an exact front.

    Args:
        costs: Two or three costs, such as ``params,kv-cache``.
        count: How many.
        given: Other flags of ``elmcfg scale``.
        folder: What paths of configs and spaces count from.

    Raises:
        ValueError: If that makes no front, or nothing fits the bounds.
        FileNotFoundError: If a config or a space is not there.
        elmcfg.InvalidConfigError: If a key is not valid.
    """
    from elmcfg.search import pareto

    search = _asked(_flags(given, folder))
    if search.space.free is not None:
        raise ValueError("free lists have no front; bound one cost and minimise the other")
    found = pareto.front(search, pareto.axes(costs))
    if not found.designs:
        raise ValueError("nothing fits the bounds of this front")
    return [search.config(d) for d in pareto.spread(found, search.conditions, count)]


def _designs(flags: dict[str, Any]) -> list[Config]:
    from elmcfg.search.task import designs

    count = flags.pop("count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1000:
        raise ValueError(f"count is a whole number from 1 to 1000, not {count!r}")
    if "free" in flags and count > 1:
        raise ValueError("free lists have one best design: leave count out")
    return designs(_asked(flags), count)


def _asked(flags: dict[str, Any]) -> Task:
    from elmcfg.search.task import asked

    return asked(flags, **{key: flags.pop(key) for key in _OPTIONS if key in flags})


def _flags(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Flags as keywords: configs loaded, and what is the schedule's under its key."""
    flags = {key.lstrip("-").replace("-", "_"): value for key, value in given.items()}
    flags = {_SPELLINGS.get(key, key): value for key, value in flags.items()}
    for key in ("base", "like"):
        if key in flags:
            flags[key] = load(located(str(flags[key]), folder, shipped()))
    if "space" in flags:
        from elmcfg.search.space import shipped_spaces

        flags["space"] = located(str(flags["space"]), folder, shipped_spaces())
    options = {key: flags.pop(key) for key in _SCHEDULE if key in flags}
    if options:
        said = {key: None if value == "none" else value for key, value in options.items()}
        flags["schedule"] = {**flags.get("schedule", {}), **said}
    return flags
