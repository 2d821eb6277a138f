"""CoreNet's training config, as far as it describes a model: read as a config.

Its YAML names a model, and CoreNet's code has the recipe of that name (apple/corenet,
``general_gpt.py``, ``gpt_configs``). The names of the released models are known here; the recipe of
any other is read from the entry that ``elmcfg convert --to corenet`` writes above the block as a
comment, and without executing it.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from typing import Any

Loc = tuple[str | int, ...]

_BLOCK = ("model", "language_modeling", "general_gpt")
_SIZES = ("vocab_size", "max_context_length")
_RELEASED = {
    "OpenELM-270M": (16, 1280, 64),
    "OpenELM-450M": (20, 1536, 64),
    "OpenELM-1_1B": (28, 2048, 64),
    "OpenELM-3B": (36, 3072, 128),
}
RECIPE_KEYS = (
    "num_transformer_layers", "model_dim", "head_dim", "num_gqa_groups",
    "normalize_qk_projections", "share_input_output_layers", "ffn_multipliers", "qkv_multipliers",
    "ffn_with_glu", "ffn_dim_divisor", "rope_freq_constant", "rope_max_length",
)  # fmt: skip
"""The arguments of CoreNet's ``GPTConfig`` that say what a model is."""
UNTOLD = ("bos_token_id", "eos_token_id", "initializer_range", "torch_dtype", "use_cache")
"""Keys of a config that CoreNet has not."""
RMS_NORM_EPS = 1e-6
"""The epsilon of every model of CoreNet's: it is no argument."""
_MOST_CHARACTERS = 32_768
"""Longest entry of a comment that is read: two lists of 1,024 multipliers take 20,000."""


class CoreNetError(Exception):
    """A training config cannot be read as a model; the message says why, in one line.

    Attributes:
        loc: What in the file cannot.
    """

    def __init__(self, message: str, *loc: str | int) -> None:
        super().__init__(message)
        self.loc = loc


def is_corenet(data: Mapping[str, Any]) -> bool:
    """Whether a file is a training config of a language model of this kind."""
    return isinstance(_block(data).get("model_name"), str)


def values(data: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The keys of the config that it describes.

    Args:
        data: The file, of which :func:`is_corenet`.
        text: The same as text, for the comment with the recipe.

    Raises:
        CoreNetError: If the recipe of the name is not known.
    """
    block = _block(data)
    name = block["model_name"]
    sizes = {key: block[key] for key in _SIZES if key in block}
    return {"name": name, **sizes, **_recipe(name, text), "rms_norm_eps": RMS_NORM_EPS}


def place(loc: Loc) -> Loc:
    """Where a value of ours stands in the file; what the recipe says, at the name."""
    key = loc[0] if loc else ""
    return (*_BLOCK, key if key in _SIZES else "model_name") if key else ()


def _block(data: Mapping[str, Any]) -> Mapping[str, Any]:
    node: Any = data
    for key in _BLOCK:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _recipe(name: str, text: str) -> dict[str, Any]:
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    head = f"{name!r}: dict("
    if head in lines:
        start = lines.index(head)
        end = lines.index("),", start) if ")," in lines[start:] else len(lines)
        return _entry(name, "\n".join(lines[start + 1 : end]))
    if name in _RELEASED:
        sizes = dict(zip(RECIPE_KEYS, _RELEASED[name], strict=False))
        recipe = {"num_gqa_groups": 4, "qkv_multipliers": [0.5, 1.0], "ffn_multipliers": [0.5, 4.0]}
        return sizes | recipe
    raise CoreNetError(
        f"the recipe of {name!r} is in CoreNet's code: none of the released models has that name, "
        "and no comment gives its entry of gpt_configs",
        *_BLOCK,
        "model_name",
    )


def _entry(name: str, arguments: str) -> dict[str, Any]:
    """The arguments of the ``dict(...)`` in the comment."""
    if len(arguments) > _MOST_CHARACTERS:
        raise CoreNetError(
            f"the entry of {name!r} in the comment has {len(arguments):,} characters; at most "
            f"{_MOST_CHARACTERS:,} are read",
            *_BLOCK,
            "model_name",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # such as that of "1if 1else 2"
            call = ast.parse(f"dict(\n{arguments}\n)", mode="eval").body
        said = {
            word.arg: ast.literal_eval(word.value)
            for word in (call.keywords if isinstance(call, ast.Call) else ())
        }
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        said = {}
    unknown = next((str(key) for key in said if key not in RECIPE_KEYS), None)
    if not said or unknown:
        why = f"has {unknown}, which no model has" if unknown else "cannot be read"
        message = f"the entry of {name!r} in the comment {why}"
        raise CoreNetError(message, *_BLOCK, "model_name")
    return {
        str(key): list(value) if isinstance(value, tuple) else value for key, value in said.items()
    }
