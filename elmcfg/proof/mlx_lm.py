"""mlx-lm's own OpenELM, where mlx-lm is installed, as something to compare with."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elmcfg.config import Config

_PACKAGE = "_elmcfg_mlx_lm_models"


def mlx_lm_model(config: Config) -> Any | None:
    """mlx-lm's model of a config, with weights that nobody has computed; None without mlx-lm.

    Only its model files are imported, under a name of their own: importing mlx-lm itself brings
    tokenizers and servers along, and takes longer than a small proof.
    """
    from elmcfg.formats import hub

    models = _models()
    if models is None:
        return None
    openelm = importlib.import_module(f"{models}.openelm")
    return openelm.Model(openelm.ModelArgs.from_dict(hub.values(config)))


def _models() -> str | None:
    """Name of a package that is mlx-lm's folder of models."""
    if _PACKAGE not in sys.modules:
        spec = importlib.util.find_spec("mlx_lm")
        if spec is None or not spec.submodule_search_locations:
            return None
        package = types.ModuleType(_PACKAGE)
        package.__path__ = [f"{folder}/models" for folder in spec.submodule_search_locations]
        sys.modules[_PACKAGE] = package
    return _PACKAGE
