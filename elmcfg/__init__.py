"""Type checker, designer and prover of layer-wise-scaled ("OpenELM-style") transformers.

>>> import elmcfg
>>> config = elmcfg.load("openelm-270m")
>>> elmcfg.cost(config).parameters.total
271527168

``load``, ``validate``, ``scale``, ``design``, ``dump`` and ``cost`` are pure; only ``build`` and
``prove`` import MLX. Names are imported when they are first used, so that ``import elmcfg`` costs
next to nothing.
"""

# Nothing is imported here: `python -m elmcfg` runs this file before it can take the working
# directory off the path, where a stranger's typing.py may lie.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from elmcfg.config import Config, resolve
    from elmcfg.costs import Cost, cost
    from elmcfg.diagnostics import Diagnostic, InvalidConfigError, Severity, Span
    from elmcfg.formats.variant import dump
    from elmcfg.geometry import Geometry, LayerShape, make_divisible
    from elmcfg.linter import load, validate
    from elmcfg.model.build import build
    from elmcfg.proof import Report, prove
    from elmcfg.scaling import scale
    from elmcfg.search.task import NothingFitsError, design
    from elmcfg.sources import SourceNotFoundError

__version__ = "0.1.0"

_HOMES = {
    "Config": "elmcfg.config",
    "Cost": "elmcfg.costs",
    "Diagnostic": "elmcfg.diagnostics",
    "Geometry": "elmcfg.geometry",
    "InvalidConfigError": "elmcfg.diagnostics",
    "LayerShape": "elmcfg.geometry",
    "NothingFitsError": "elmcfg.search.task",
    "Report": "elmcfg.proof",
    "Severity": "elmcfg.diagnostics",
    "SourceNotFoundError": "elmcfg.sources",
    "Span": "elmcfg.diagnostics",
    "build": "elmcfg.model.build",
    "cost": "elmcfg.costs",
    "design": "elmcfg.search.task",
    "dump": "elmcfg.formats.variant",
    "load": "elmcfg.linter",
    "make_divisible": "elmcfg.geometry",
    "prove": "elmcfg.proof",
    "resolve": "elmcfg.config",
    "scale": "elmcfg.scaling",
    "validate": "elmcfg.linter",
}

__all__ = [
    "Config",
    "Cost",
    "Diagnostic",
    "Geometry",
    "InvalidConfigError",
    "LayerShape",
    "NothingFitsError",
    "Report",
    "Severity",
    "SourceNotFoundError",
    "Span",
    "build",
    "cost",
    "design",
    "dump",
    "load",
    "make_divisible",
    "prove",
    "resolve",
    "scale",
    "validate",
]


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return [*globals(), *__all__]
