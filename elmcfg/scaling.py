"""New variants from a recipe, from a profile, and from another variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elmcfg.config import Config, resolve
from elmcfg.diagnostics import Diagnostic, InvalidConfigError, Severity
from elmcfg.field_types import MAX_LAYERS, MAX_SIZE
from elmcfg.findings import read_values
from elmcfg.geometry import geometry, usual_rope_length
from elmcfg.profiles import profile as named_profile

if TYPE_CHECKING:
    from elmcfg.infer import Inference

Multipliers = float | Sequence[float]


def scale(
    *,
    num_transformer_layers: int,
    model_dim: int,
    head_dim: int = 64,
    num_gqa_groups: int = 4,
    qkv_multipliers: Multipliers | None = None,
    ffn_multipliers: Multipliers | None = None,
    ffn_dim_divisor: int = 256,
    vocab_size: int = 32000,
    profile: str = "vanilla",
    **keys: Any,
) -> Config:
    """A config from a recipe; the defaults are those of the released models (arXiv 2404.14619).

    Args:
        num_transformer_layers: Depth.
        model_dim: Width of the residual stream, in channels.
        head_dim: Width of a head, in channels; even.
        num_gqa_groups: Query heads per KV head.
        qkv_multipliers: Control points (or one value per layer) of the query width; the profile's
            where not given.
        ffn_multipliers: Control points (or one value per layer) of the feed-forward width,
            likewise.
        ffn_dim_divisor: Feed-forward widths are multiples of this, in channels.
        vocab_size: Tokens.
        profile: Name of a profile (:mod:`elmcfg.profiles`), for what is not given.
        **keys: Any other key of a config.

    Raises:
        InvalidConfigError: If the recipe makes no valid config; carries every reason.
        ValueError: If there is no such profile, or as :func:`context_keys`.
    """
    values: dict[str, Any] = {
        "num_transformer_layers": num_transformer_layers,
        "model_dim": model_dim,
        "head_dim": head_dim,
        "num_gqa_groups": num_gqa_groups,
        "ffn_dim_divisor": ffn_dim_divisor,
        "vocab_size": vocab_size,
        **keys,
        **context_keys(keys),
    }
    form = _drawn(profile, num_transformer_layers)
    given = {"qkv_multipliers": qkv_multipliers, "ffn_multipliers": ffn_multipliers}
    for key, multipliers in given.items():
        values[key] = form[key] if multipliers is None else multipliers
    if form.get("schedule") or keys.get("schedule"):
        values["schedule"] = {**form.get("schedule", {}), **dict(keys.get("schedule") or {})}
    return checked(values)


def _drawn(profile: str, num_transformer_layers: Any) -> dict[str, Any]:
    """The keys of a profile at a depth.

    A depth that is none is left for the models to tell, and not stumbled over here.
    """
    depth = num_transformer_layers if isinstance(num_transformer_layers, int) else 1
    return named_profile(profile).keys(max(1, min(depth, MAX_LAYERS)))


def checked(values: dict[str, Any]) -> Config:
    """A config from plain values.

    Raises:
        InvalidConfigError: If they make no valid config; carries every reason.
    """
    config, found = read_values(values)
    if config is None:
        raise InvalidConfigError(
            Diagnostic("scale", None, v.code, severity, v.loc, v.message, v.help)
            for v, severity in found
            if severity is Severity.ERROR
        )
    return config


def context_keys(
    keys: Mapping[str, Any], base: Config | None = None, context_length: Any = None
) -> dict[str, Any]:
    """Return the keys of a context, and of a RoPE table that is as long.

    Args:
        keys: Keys that the user sets.
        base: The model that the new one begins from; the defaults count where there is none.
        context_length: Tokens of context that the new model is made for.

    Raises:
        ValueError: If the user sets a context shorter than that, or a table shorter than it.
    """
    names = ("max_context_length", "rope_max_length")
    sizes = [keys.get(names[0]), keys.get(names[1]), context_length]
    # Anything else than a size is left for the models to report.
    if not any(sizes) or any(n is not None and (type(n) is not int or n < 1) for n in sizes):
        return {}
    default = {name: Config.model_fields[name].default for name in names}
    inherited = [getattr(base, name, default[name]) for name in names]
    context = sizes[0] or max(inherited[0], context_length or 0)
    if context_length is not None and context < context_length:
        raise ValueError(
            f"max_context_length is {context:,}, but the design is for a context of "
            f"{context_length:,} tokens; raise it, or leave it out"
        )
    table = sizes[1] or inherited[1]
    if table < context and sizes[1] is not None:
        raise ValueError(
            f"rope_max_length is {table:,}, but the context is {context:,} tokens; raise it, or "
            "leave it out"
        )
    if table < context:
        table = max(context, min(usual_rope_length(context), MAX_SIZE))
    return dict(zip(names, (context, table), strict=True))


_OF_THE_VARIANT = {"name", "description", "source"}
_LISTS = {"num_query_heads", "num_kv_heads"}


def recipe(config: Config, found: Inference) -> dict[str, Any]:
    """The keys of a config with the inferred recipe in place of its lists, without its name.

    Args:
        config: A config.
        found: What :func:`elmcfg.infer.infer` gave for it.
    """
    given = config.model_dump(include=config.model_fields_set - _OF_THE_VARIANT - _LISTS)
    # Where one schedule is uniform, its rounding says nothing.
    speaking = [fit for fit in (found.ffn, found.qkv) if len(fit.points) > 1] or [found.ffn]
    schedule = {
        "decimals": speaking[0].decimals,
        "frame_qkv_multiplier": found.qkv.frame,
        "frame_ffn_multiplier": found.ffn.frame,
    }
    return {
        **given,
        "num_gqa_groups": found.queries_per_kv_head,
        "qkv_multipliers": found.qkv.points,
        "ffn_multipliers": found.ffn.points,
        "schedule": schedule,
    }


def rescaled(
    config: Config, found: Inference, keys: Mapping[str, Any], profile: str | None = None
) -> Config:
    """Another model by the recipe of a config, as ``elmcfg scale --from`` makes it.

    Args:
        config: A config.
        found: What :func:`elmcfg.infer.infer` gave for it.
        keys: Keys that are to be other than its own.
        profile: Name of a profile, in place of its schedule.

    Raises:
        InvalidConfigError: If that makes no valid config; carries every reason.
        ValueError: If there is no such profile, or as :func:`context_keys`.
    """
    values = recipe(config, found)
    if profile is not None:
        depth = keys.get("num_transformer_layers", config.num_transformer_layers)
        values |= {"schedule": {}} | _drawn(profile, depth)
    options = {**values["schedule"], **keys.get("schedule", {})}
    values |= {**keys, **context_keys(keys, config)}
    depth = values["num_transformer_layers"]
    lists = (values["qkv_multipliers"], values["ffn_multipliers"])
    if all(isinstance(each, Sequence) and len(each) == depth for each in lists):
        options = {}
    return checked({**values, "schedule": options})


def select_layers(
    config: Config, layers: Sequence[int], keys: Mapping[str, Any] | None = None
) -> Config:
    """Some layers of a model, in the given order, as CoreNet's layer-pruned models are made.

    The lists come from the full schedule and then a selection is taken (apple/corenet,
    ``projects/kv-prediction``), so that the layers keep their widths.

    Args:
        config: The full model.
        layers: Indices of the layers to keep, from 0.
        keys: Keys that are to be other than the full model's.

    Raises:
        ValueError: If there are no layers, or one is not in the model; or as :func:`context_keys`.
        InvalidConfigError: If that makes no valid config; carries every reason.
    """
    n = config.num_transformer_layers
    outside = [i for i in layers if not 0 <= i < n]
    if outside or not layers:
        what = f"layer {outside[0]} is not in the model" if outside else "no layers are selected"
        raise ValueError(f"{what}: its layers are 0 to {n - 1}")
    full = resolve(config)
    values = full.model_dump(include=full.model_fields_set - _OF_THE_VARIANT - {"schedule"})
    if full.qkv_multipliers is not None:
        multipliers = [layer.qkv_multiplier for layer in geometry(config).layers]
        values["qkv_multipliers"] = [multipliers[i] for i in layers]
    for key in ("num_query_heads", "num_kv_heads", "ffn_multipliers"):
        values[key] = [values[key][i] for i in layers]
    own = {**(keys or {}), **context_keys(keys or {}, config)}
    return checked({**values, "num_transformer_layers": len(layers), **own})
