"""Every released config, broken in every way we know: found under its code, at its place.

A mutation edits the text as a person would, and says from the text alone where the finding must
stand. The places come from regular expressions over the text, not from elmcfg's readers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import oracles
import pytest
from texts import slice_of

import elmcfg
from elmcfg.diagnostics import Severity
from elmcfg.document import parse
from elmcfg.formats import hub
from elmcfg.linter import diagnose
from elmcfg.sources import shipped

LISTS = ("num_query_heads", "num_kv_heads", "ffn_multipliers")


@dataclass(frozen=True)
class Broken:
    """A broken text.

    Attributes:
        text: The text.
        code: The code that must be found.
        loc: The entry of the config.
        start: Where in the text the finding must begin; None where the text has no such place.
        shown: The text that it must cover.
        errors: All codes of errors; just ``code`` where it is one.
    """

    text: str
    code: str
    loc: tuple[str | int, ...]
    start: int | None
    shown: str
    errors: frozenset[str]


class Text:
    """A config as text, and edits of it."""

    def __init__(self, model: oracles.Released, notation: str) -> None:
        self.model, self.notation = model, notation
        config = elmcfg.load(model.name)
        yaml = notation == "yaml"
        self.text = shipped()[model.name].read_text() if yaml else hub.dump(config)
        self.path = f"{model.name}.{notation}"

    def key(self, key: str, text: str | None = None) -> tuple[int, int]:
        """Where a key stands (with its quotes, in JSON)."""
        quote = '"' if self.notation == "json" else ""
        pattern = rf"^[ ]*({quote}{key}{quote})(?=[ ]*:)"
        match = re.search(pattern, self.text if text is None else text, re.MULTILINE)
        assert match, key
        return match.span(1)

    def value(self, key: str) -> tuple[int, int]:
        """Where a value stands."""
        match = re.compile(r"[ ]*:\s*(\[[^\]]*\]|[^\n,#]*[^\n,# ])").match(
            self.text, self.key(key)[1]
        )
        assert match, key
        return match.span(1)

    def entries(self, key: str) -> list[tuple[int, int]]:
        """Where the entries of a list stand."""
        opening = self.text.index("[", self.key(key)[1])
        closing = self.text.index("]", opening)
        numbers = re.compile(r"[-+.\w]+").finditer(self.text, opening, closing)
        return [match.span() for match in numbers]

    def replaced(self, place: tuple[int, int], new: str) -> str:
        return self.text[: place[0]] + new + self.text[place[1] :]

    def quoted(self, key: str) -> str:
        return f'"{key}"' if self.notation == "json" else key


Mutation = Callable[[Text], Broken]


def scalar(key: str, new: str, code: str, *also: str) -> Mutation:
    """A value replaced by another."""

    def mutate(t: Text) -> Broken:
        place = t.value(key)
        errors = {code, *also} if code < "ELM4" else set(also)
        return Broken(t.replaced(place, new), code, (key,), place[0], new, frozenset(errors))

    return mutate


def entry(key: str, at: float, new: str, code: str, *also: str) -> Mutation:
    """An entry of a list, at this fraction of the depth, replaced by another."""

    def mutate(t: Text) -> Broken:
        layer = round(at * (t.model.layers - 1))
        place = t.entries(key)[layer]
        errors = {code, *also} if code < "ELM4" else set(also)
        return Broken(t.replaced(place, new), code, (key, layer), place[0], new, frozenset(errors))

    return mutate


def short(key: str) -> Mutation:
    """The last entry of a list removed."""

    def mutate(t: Text) -> Broken:
        *_, before, last = t.entries(key)
        text = t.text[: before[1]] + t.text[last[1] :]
        return Broken(text, "ELM201", (key,), t.key(key)[0], t.quoted(key), frozenset({"ELM201"}))

    return mutate


def long(key: str, new: str) -> Mutation:
    """One entry too many."""

    def mutate(t: Text) -> Broken:
        end = t.entries(key)[-1][1]
        text = f"{t.text[:end]}, {new}{t.text[end:]}"
        loc = (key, t.model.layers)
        return Broken(text, "ELM201", loc, end + 2, new, frozenset({"ELM201"}))

    return mutate


def shallow(key: str) -> Mutation:
    """The depth cut by two, and every list left as it was."""

    def mutate(t: Text) -> Broken:
        n = t.model.layers - 2
        place = t.value("num_transformer_layers")
        text = t.replaced(place, str(n))
        start, end = t.entries(key)[n]
        shift = len(str(n)) - (place[1] - place[0]) if place[0] < start else 0
        shown = t.text[start:end]
        return Broken(text, "ELM201", (key, n), start + shift, shown, frozenset({"ELM201"}))

    return mutate


def deep(t: Text) -> Broken:
    """The depth raised, and every list left as it was."""
    text = t.replaced(t.value("num_transformer_layers"), str(t.model.layers + 1))
    start = t.key("num_kv_heads", text)[0]
    shown = t.quoted("num_kv_heads")
    return Broken(text, "ELM201", ("num_kv_heads",), start, shown, frozenset({"ELM201"}))


def renamed(key: str, new: str, *errors: str) -> Mutation:
    """A key misspelt."""

    def mutate(t: Text) -> Broken:
        place = t.key(key)
        text = t.replaced(place, t.quoted(new))
        # In a hub config.json a near miss of our key is a warning.
        found = {*errors, "ELM102"} if t.notation == "yaml" else set(errors)
        return Broken(text, "ELM102", (new,), place[0], t.quoted(new), frozenset(found))

    return mutate


def removed(key: str, loc: tuple[str, ...]) -> Mutation:
    """A key removed with its value."""

    def mutate(t: Text) -> Broken:
        line = t.text.rindex("\n", 0, t.key(key)[0]) + 1
        end = t.text.index("\n", t.value(key)[1]) + 1
        text = t.text[:line] + t.text[end:]
        text = re.sub(r",\s*}\s*$", "\n}\n", text)
        start = t.key(loc[0], text)[0] if loc else None
        shown = t.quoted(loc[0]) if loc else ""
        return Broken(text, "ELM101", loc, start, shown, frozenset({"ELM101"}))

    return mutate


def doubled(t: Text) -> Broken:
    """A key given twice."""
    line = t.text.rindex("\n", 0, t.key("vocab_size")[0]) + 1
    again = f"  {t.quoted('vocab_size')}: 32128,\n" if t.notation == "json" else ""
    text = t.text[:line] + (again or "vocab_size: 32128\n") + t.text[line:]
    start = t.key("vocab_size")[0] + len(again or "vocab_size: 32128\n")
    return Broken(
        text, "ELM003", ("vocab_size",), start, t.quoted("vocab_size"), frozenset({"ELM003"})
    )


def stale_recipe(t: Text) -> Broken:
    """Another recipe, and the lists left as they were."""
    m = t.model
    wanted = oracles.corenet_lists(
        m.layers, m.model_dim, m.head_dim, 4, (0.75, 0.9), (0.5, 4.0)
    ).query_heads
    heads = [4 * kv for kv in m.kv_heads]
    layer = next(i for i in range(m.layers) if heads[i] != wanted[i])
    place = t.value("qkv_multipliers")
    text = t.replaced(place, "[0.75, 0.9]")
    start, end = t.entries("num_query_heads")[layer]
    shift = len("[0.75, 0.9]") - (place[1] - place[0]) if place[0] < start else 0
    loc = ("num_query_heads", layer)
    return Broken(text, "ELM301", loc, start + shift, t.text[start:end], frozenset({"ELM301"}))


MUTATIONS: dict[str, Mutation] = {
    "query heads that do not divide": entry("num_query_heads", 0.5, "37", "ELM203", "ELM301"),
    "KV heads that do not divide": entry("num_query_heads", 0.0, "13", "ELM203", "ELM301"),
    "other query heads": entry("num_query_heads", 0.9, "840", "ELM301", "ELM302"),
    "twice the sharing": entry("num_kv_heads", 1.0, "1", "ELM302"),
    "no query heads": entry("num_query_heads", 0.3, "0", "ELM202"),
    "no KV heads": entry("num_kv_heads", 0.3, "0", "ELM202"),
    "negative KV heads": entry("num_kv_heads", 0.7, "-4", "ELM202"),
    "half a head": entry("num_kv_heads", 0.6, "4.5", "ELM103"),
    "a whole float for a head": entry("num_query_heads", 0.0, "12.0", "ELM103"),
    "true for a head": entry("num_kv_heads", 0.2, "true", "ELM103"),
    "null for a head": entry("num_query_heads", 0.4, "null", "ELM103"),
    "no width": entry("ffn_multipliers", 0.5, "0", "ELM205"),
    "negative width": entry("ffn_multipliers", 0.1, "-0.73", "ELM205"),
    "giant width": entry("ffn_multipliers", 1.0, "4000.0", "ELM205"),
    "null width": entry("ffn_multipliers", 0.8, "null", "ELM103"),
    "short query heads": short("num_query_heads"),
    "short KV heads": short("num_kv_heads"),
    "short FFN": short("ffn_multipliers"),
    "long query heads": long("num_query_heads", "20"),
    "long KV heads": long("num_kv_heads", "5"),
    "long FFN": long("ffn_multipliers", "4.2"),
    **{f"depth cut, {key}": shallow(key) for key in LISTS},
    "depth raised": deep,
    "no depth": scalar("num_transformer_layers", "0", "ELM207"),
    "text for a depth": scalar("num_transformer_layers", '"16"', "ELM103"),
    "odd head_dim": scalar("head_dim", "63", "ELM204"),
    "no head_dim": scalar("head_dim", "0", "ELM204"),
    "negative model_dim": scalar("model_dim", "-1280", "ELM207"),
    "fraction of a model_dim": scalar("model_dim", "1280.5", "ELM103"),
    "giant model_dim": scalar("model_dim", "10000000000000", "ELM207"),
    "no vocabulary": scalar("vocab_size", "0", "ELM207"),
    "no divisor": scalar("ffn_dim_divisor", "0", "ELM206"),
    "no RoPE base": scalar("rope_freq_constant", "0", "ELM207"),
    "no epsilon": scalar("rms_norm_eps", "0", "ELM207"),
    "other activation": scalar("activation_fn_name", '"gelu"', "ELM104"),
    "other norm": scalar("normalization_layer_name", '"layer_norm"', "ELM104"),
    "other model": scalar("model_type", '"llama"', "ELM104"),
    "text for a switch": scalar("share_input_output_layers", '"false"', "ELM103"),
    "number for a switch": scalar("ffn_with_glu", "1", "ELM103"),
    "negative token": scalar("bos_token_id", "-1", "ELM207"),
    "stale recipe": stale_recipe,
    "a number for a list": scalar("num_kv_heads", "4", "ELM103"),
    "misspelt list": renamed("num_kv_heads", "num_kv_head", "ELM101"),
    "misspelt size": renamed("model_dim", "model_dmi", "ELM101"),
    "misspelt switch": renamed("share_input_output_layers", "share_input_output_layer"),
    "no model_dim": removed("model_dim", ()),
    "no vocab_size": removed("vocab_size", ()),
    "one list alone": removed("num_kv_heads", ("num_query_heads",)),
    "a key twice": doubled,
    "a slip of the decimal point": entry("ffn_multipliers", 0.5, "25.0", "ELM403"),
    "a jump at the end": entry("ffn_multipliers", 1.0, "40.0", "ELM405"),
    "odd vocabulary": scalar("vocab_size", "32003", "ELM409"),
    "token outside": scalar("eos_token_id", "32000", "ELM410"),
    "context beyond RoPE": scalar("max_context_length", "8192", "ELM411"),
}
CASES = [
    pytest.param(model, notation, mutation, id=f"{model.name}.{notation}: {name}")
    for model in oracles.RELEASED
    for notation in ("yaml", "json")
    for name, mutation in MUTATIONS.items()
]


def test_the_table_is_large() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize("notation", ["yaml", "json"])
@pytest.mark.parametrize("model", oracles.RELEASED, ids=lambda m: m.name)
def test_nothing_is_found_in_what_was_not_broken(model: oracles.Released, notation: str) -> None:
    text = Text(model, notation)
    assert diagnose(parse(text.text, text.path)) == []


@pytest.mark.parametrize(("model", "notation", "mutation"), CASES)
def test_it_is_found_at_its_place(
    model: oracles.Released, notation: str, mutation: Mutation
) -> None:
    text = Text(model, notation)
    broken = mutation(text)
    findings = diagnose(parse(broken.text, text.path))
    assert {d.code for d in findings if d.severity is Severity.ERROR} == broken.errors
    here = [d for d in findings if d.code == broken.code and d.loc == broken.loc]
    assert len(here) == 1
    (found,) = here
    if broken.start is None:
        assert found.span is None
        return
    before = broken.text[: broken.start]
    assert found.span is not None
    assert found.span.line == before.count("\n") + 1
    assert found.span.column == len(before) - before.rfind("\n")
    assert slice_of(broken.text, found.span) == broken.shown
    assert found.message
