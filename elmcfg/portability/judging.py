"""Verdicts: a reader's model against the model that the config means, and their findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from elmcfg.diagnostics import Loc, Violation
from elmcfg.portability import TARGETS
from elmcfg.portability.verdict import (
    Built,
    Outcome,
    RefusesError,
    Values,
    Verdict,
    differences,
    meant,
)

if TYPE_CHECKING:
    from elmcfg.config import Config

_CODES = {Outcome.ANOTHER: "ELM501", Outcome.REFUSES: "ELM502", Outcome.CRASHES: "ELM503"}
_REMEDIES = {
    "mlx-lm": "give the three lists, a gated feed-forward and all nine keys that it needs",
    "hf": "give a recipe (one or two qkv_multipliers, num_gqa_groups) that makes the lists, and "
    "write out the switches",
    "llama.cpp": "keep QK normalization, the gate, the tied head and epsilon 1e-6",
    "corenet": "use one multiplier or the two ends of a line, and epsilon 1e-6",
    "mlx-swift": "only the released recipe (0.5 to 1.0, 0.5 to 4.0, 4 queries per KV head) means "
    "the same there",
}
_HF_REMEDIES = {
    "share_input_output_layers": "transformers ties the two by tie_word_embeddings, true unless "
    "the file says otherwise, and a checkpoint of both matrices then loses one; give both keys",
    "vocab_size": "set max_context_length to vocab_size, or feed it no longer texts",
    "rope_freq_constant": "write it with a point or an exponent",
    "head_dim": "add num_query_heads, with any value: it is computed again from the recipe",
}
_MEND = "mend the errors reported here"
# Where an entry is not in the file, what stands for it there.
_STANDS_FOR: Mapping[str, tuple[str, ...]] = {
    "num_query_heads": ("qkv_multipliers", "num_gqa_groups"),
    "num_kv_heads": ("num_gqa_groups", "qkv_multipliers"),
}


def verdicts(config: Config, targets: Iterable[str], values: Values | None = None) -> list[Verdict]:
    """What each program does with a valid config.

    Args:
        config: The config.
        targets: Names of :data:`TARGETS`.
        values: The ``config.json`` as it stands; what ``--format hub`` writes where not given.
    """
    from elmcfg.formats import hub  # brings Pydantic, which the names of targets do not need

    written = hub.values(config) if values is None else values
    wanted = meant(config)
    # CoreNet reads no file: what the config means is what an entry of its code would have to say.
    return [
        _verdict(target, wanted, config if target == "corenet" else written) for target in targets
    ]


def _verdict(target: str, wanted: Built, given: Values | Config) -> Verdict:
    got = _read(target, given)
    if isinstance(got, Verdict):
        return got
    notes = _notes(target, given)
    for clause, layer, loc in differences(wanted, got):
        return Verdict(target, Outcome.ANOTHER, clause, layer, loc, notes)
    return Verdict(target, Outcome.SAME, notes=notes)


def _read(target: str, given: Values | Config) -> Built | Verdict:
    """The model that a program builds, or in what way it builds none."""
    built: Built
    try:
        built = import_module(f"elmcfg.portability.{TARGETS[target]}").read(given)
    except RefusesError as error:
        return Verdict(
            target, error.outcome, error.message, error.layer, error.loc, _notes(target, given)
        )
    return built


def _notes(target: str, given: Any) -> tuple[str, ...]:
    if target != "hf":
        return ()
    from elmcfg.portability import hf

    return (*hf.notes(given), hf.VERSIONS)


def verdict_on_broken(values: Values) -> Verdict:
    """What mlx-lm does with a ``config.json`` that is not valid.

    Only mlx-lm is asked: it is the one reader whose handling of broken files is tested against the
    program itself. The model is *the same* where it is exactly what the lists and the switches of
    the file say, whatever else is wrong with them.
    """
    from elmcfg.portability import mlx_lm

    got = _read("mlx-lm", values)
    if isinstance(got, Verdict):
        return got
    for clause, layer, loc in mlx_lm.departures(values, got):
        return Verdict("mlx-lm", Outcome.ANOTHER, clause, layer, loc)
    return Verdict("mlx-lm", Outcome.SAME)


def violations(
    config: Config | None, targets: Iterable[str], given: Values, *, as_json: bool
) -> list[Violation]:
    """The verdicts as findings.

    Args:
        config: The config, or ``None`` where it is not valid.
        targets: Names of :data:`TARGETS`.
        given: The values that stand in the file.
        as_json: Whether the file is a ``config.json``, which those programs can read.
    """
    if config is None:
        found = [verdict_on_broken(given)] if as_json and "mlx-lm" in targets else []
    else:
        found = verdicts(config, targets, given if as_json else None)
    same = [v.target for v in found if v.outcome is Outcome.SAME]
    broken = config is None
    result = [_violation(v, given, broken=broken) for v in found if v.outcome is not Outcome.SAME]
    if same:
        what = (
            "builds exactly what the lists say, whatever is wrong with them"
            if broken
            else "same model"
        )
        message = f"{', '.join(same)}: {what}"
        notes = [_noted(v) for v in found if v.outcome is Outcome.SAME and v.notes]
        result.append(Violation("ELM500", (), message, "; ".join(notes)))
    return result


def _noted(verdict: Verdict) -> str:
    return f"{verdict.target}: {'; '.join(verdict.notes)}"


def _mending(verdict: Verdict) -> str:
    silent = verdict.outcome is Outcome.ANOTHER
    return f"{_MEND}; {verdict.target} will not report them" if silent else _MEND


def _help(verdict: Verdict) -> str:
    remedy = _REMEDIES[verdict.target]
    if verdict.target == "hf":
        remedy = _HF_REMEDIES.get(str(verdict.loc[0]) if verdict.loc else "", remedy)
    return "; ".join([remedy, *verdict.notes])


def _violation(verdict: Verdict, given: Values, *, broken: bool) -> Violation:
    name = verdict.target
    what = f"{verdict.outcome}: " if verdict.outcome is Outcome.ANOTHER else ""
    return Violation(
        _CODES[verdict.outcome],
        _place(verdict.loc, given),
        f"{name} {what}{verdict.message}",
        _mending(verdict) if broken else _help(verdict),
        label=name if verdict.layer is None else f"{name}: layer {verdict.layer}",
    )


def _place(loc: Loc, given: Mapping[str, Any]) -> Loc:
    """The entry, or what stands for it in the file."""
    if not loc:
        return ()
    key = str(loc[0])
    for name in (key, *_STANDS_FOR.get(key, ())):
        value = given.get(name)
        if value is None:
            continue
        inside = isinstance(value, list | tuple) and len(loc) > 1 and name == key
        layer = loc[1] if inside else None
        listed = isinstance(layer, int) and layer < len(value) == given.get(
            "num_transformer_layers"
        )
        return loc if listed else (name,)
    return (key,)
