"""The rule of what each form loses: what reading it back does not give again.

The layers are the same after every round trip; what cannot be expressed is refused. Besides:

- the recipe (``qkv_multipliers``, ``num_gqa_groups``, ``ffn_multipliers``, ``ffn_dim_divisor``,
  ``schedule``) comes back as another one of the same layers, except from a variant file;
- what is about the model and not of it (:data:`ABOUT`) stays behind, except in a variant file;
- of the other keys those that :func:`lost` names do not come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmcfg.formats import checkpoint, corenet
from elmcfg.geometry import usual_rope_length

if TYPE_CHECKING:
    from elmcfg.config import Config

ABOUT = (
    "name", "description", "source", "architectures", "auto_map", "transformers_version",
    "weight_dtype", "cache_dtype",
)  # fmt: skip
"""Keys that say nothing of shapes and numbers."""

_UNTOLD = {"gguf": checkpoint.UNTOLD, "corenet": corenet.UNTOLD}


def lost(config: Config, form: str) -> tuple[str, ...]:
    """Keys that a form does not tell, and whose values nobody would guess.

    Args:
        config: As it is written.
        form: One of :data:`elmcfg.conversion.FORMATS`.
    """
    guessed = {key: field.default for key, field in type(config).model_fields.items()}
    if form == "gguf":
        guessed["rope_max_length"] = usual_rope_length(config.max_context_length)
    return tuple(key for key in _UNTOLD.get(form, ()) if getattr(config, key) != guessed[key])


def remarks(config: Config, form: str) -> list[str]:
    """What the user should know of that."""
    keys = ", ".join(f"{key} {getattr(config, key)}" for key in lost(config, form))
    return [f"not kept, as the form {form} has no place for it: {keys}"] if keys else []
