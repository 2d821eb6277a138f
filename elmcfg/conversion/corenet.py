"""What CoreNet's trainer needs to train a model: a block of YAML and an entry of ``gpt_configs``.

CoreNet's YAML names a model, and its code has the recipe of that name (apple/corenet,
``general_gpt.py``), so that a new model takes both. The recipe knows one number or two end points
for each half, rounded to two decimals, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elmcfg.conversion.recipes import end_points
from elmcfg.conversion.weights import ConversionError
from elmcfg.document import dump_yaml
from elmcfg.formats.corenet import RMS_NORM_EPS

if TYPE_CHECKING:
    from elmcfg.config import Config


def recipe(config: Config) -> dict[str, Any]:
    """The entry of ``gpt_configs``: arguments of CoreNet's ``GPTConfig``.

    Raises:
        ConversionError: If CoreNet cannot make the model.
    """
    found = end_points(config)
    if isinstance(found, str):
        raise _refusal(f"it takes end points, and {found}")
    if isinstance(found.ffn, str):
        raise _refusal(f"it takes end points, and {found.ffn}")
    if config.rms_norm_eps != RMS_NORM_EPS:
        raise _refusal(f"its rms_norm_eps is always {RMS_NORM_EPS}")
    return {
        "num_transformer_layers": config.num_transformer_layers,
        "model_dim": config.model_dim,
        "head_dim": config.head_dim,
        "num_gqa_groups": found.queries_per_kv_head,
        "normalize_qk_projections": config.normalize_qk_projections,
        "share_input_output_layers": config.share_input_output_layers,
        "ffn_multipliers": _points(found.ffn),
        "qkv_multipliers": _points(found.qkv),
        "ffn_with_glu": config.ffn_with_glu,
        "ffn_dim_divisor": config.ffn_dim_divisor,
        "rope_freq_constant": config.rope_freq_constant,
        "rope_max_length": config.rope_max_length,
    }


def _refusal(why: str) -> ConversionError:
    return ConversionError(f"CoreNet cannot make this model: {why}")


def _points(points: tuple[float, ...]) -> float | tuple[float, ...]:
    """CoreNet takes no list of one."""
    return points[0] if len(points) == 1 else points


def dump(config: Config, name: str) -> str:
    """The YAML block, with the entry of ``gpt_configs`` above it as a comment.

    Args:
        config: A valid config.
        name: What CoreNet shall call the model.

    Raises:
        ConversionError: If CoreNet cannot make the model.
    """
    entry = [f"{name!r}: dict("]
    entry += [f"    {key}={value!r}," for key, value in recipe(config).items()] + ["),"]
    block = {
        "model": {
            "language_modeling": {
                "name": "general_gpt",
                "general_gpt": {
                    "model_name": name,
                    "vocab_size": config.vocab_size,
                    "max_context_length": config.max_context_length,
                },
            }
        }
    }
    lines = [
        "For gpt_configs in corenet/modeling/models/language_modeling/general_gpt.py:",
        "",
        *entry,
        "",
        "Merge this block into a training config, such as those of projects/openelm. Where the",
        "tokenizer has a padding token, add its padding_index.",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + dump_yaml(block)
