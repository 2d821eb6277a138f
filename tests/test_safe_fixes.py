"""Safe fixes keep every tensor that the file's author, or the weights beside the file, mean.

A released config is changed in one or two places, as people do it, and its safe fixes are applied.
What comes out either is still refused or has the tensors of the release: never a third model's.
What the release has is worked out here from the published numbers, and not by elmcfg.
"""

import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import oracles
import pytest
import yaml
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

import elmcfg
from elmcfg import fixes
from elmcfg.config import Config
from elmcfg.diagnostics import Severity
from elmcfg.document import Document, parse
from elmcfg.formats.safetensors import write_header
from elmcfg.geometry import geometry
from elmcfg.linter import diagnose, has_weights_of
from elmcfg.sources import shipped

Values = dict[str, Any]
Pairs = list[tuple[str, Any]]
Shapes = dict[str, tuple[int, ...]]

LISTS = ("num_query_heads", "num_kv_heads", "ffn_multipliers")


def release(model: oracles.Released) -> Values:
    """Return a released config.json, from the published numbers."""
    return {
        "model_type": "openelm",
        "num_transformer_layers": model.layers,
        "model_dim": model.model_dim,
        "head_dim": model.head_dim,
        "vocab_size": 32000,
        "num_gqa_groups": 4,
        "qkv_multipliers": [0.5, 1.0],
        "num_query_heads": [4 * kv for kv in model.kv_heads],
        "num_kv_heads": model.kv_heads,
        "ffn_multipliers": model.ffn_multipliers,
        "ffn_dim_divisor": 256,
        "ffn_with_glu": True,
        "normalize_qk_projections": True,
        "share_input_output_layers": True,
        "activation_fn_name": "swish",
        "rope_freq_constant": 10000,
        "max_context_length": 2048,
    }


UNIFORM = {
    **release(oracles.RELEASED[0]),
    "qkv_multipliers": [0.8],
    "num_query_heads": [16] * 16,
    "num_kv_heads": [4] * 16,
    "ffn_multipliers": [2.25] * 16,
    "ffn_dim_divisor": 64,
}
"""The shipped uniform variant with its lists written out: here every depth explains the lists."""
NO_FFN_LIST = {**UNIFORM, "ffn_multipliers": [2.25]}
"""The same, with one control point for all feed-forwards: two lists are left to tell the depth."""
WRITTEN_OUT = {**UNIFORM, "qkv_multipliers": [0.8] * 16}
ORIGINALS = [*map(release, oracles.RELEASED), UNIFORM, NO_FFN_LIST, WRITTEN_OUT]


def shapes(values: Values) -> Shapes:
    """Return the tensors of a config by name, by the published rules alone."""
    n, d, h = (values[key] for key in ("num_transformer_layers", "model_dim", "head_dim"))
    multipliers = values["ffn_multipliers"]
    if not isinstance(multipliers, list):
        multipliers = [multipliers]
    if len(multipliers) == 1:
        multipliers = multipliers * n
    assert len(multipliers) == n, "the fixes tried here leave no other control points"
    table: Shapes = {"transformer.token_embeddings.weight": (values["vocab_size"], d)}
    if not values.get("share_input_output_layers", True):
        table["lm_head.weight"] = (values["vocab_size"], d)
    for i in range(n):
        q, kv = values["num_query_heads"][i], values["num_kv_heads"][i]
        f = oracles.make_divisible(d * multipliers[i], values.get("ffn_dim_divisor", 256))
        gates = 2 if values.get("ffn_with_glu", True) else 1
        layer: Shapes = {
            "attn.qkv_proj": ((q + 2 * kv) * h, d),
            "attn.out_proj": (d, q * h),
            "ffn.proj_1": (gates * f, d),
            "ffn.proj_2": (d, f),
            "attn_norm": (d,),
            "ffn_norm": (d,),
        }
        if values.get("normalize_qk_projections", True):
            layer |= {"attn.q_norm": (h,), "attn.k_norm": (h,)}
        table |= {f"transformer.layers.{i}.{name}.weight": s for name, s in layer.items()}
    table["transformer.norm.weight"] = (d,)
    return table


def typo(key: str, chance: random.Random) -> str:
    """Return the key with one letter left out, doubled, exchanged with the next, or a word lost."""
    i = chance.randrange(1, len(key) - 1)
    return chance.choice(
        [
            key[:i] + key[i + 1 :],
            key[:i] + key[i] + key[i:],
            key[: i - 1] + key[i] + key[i - 1] + key[i + 1 :],
            key.replace("query", "q").replace("_kv", ""),
            key.replace("_", "-"),
            key.replace("transformer_", ""),
        ]
    )


def at(pairs: Pairs, key: str) -> int:
    """Return where an entry stands, -1 where it has been renamed."""
    return next((i for i, (name, _) in enumerate(pairs) if name == key), -1)


# Slips that say nothing else than what was meant, and those that do.
SLIPS = ("typo", "typo", "twice", "quote", "float", "german", "zero")
WAYS = (
    *SLIPS,
    *("depth", "depth", "lose", "double", "move-in", "append", "drop-head", "swap"),
    *("twice-other", "multipliers", "groups"),
)


def mutate(pairs: Pairs, chance: random.Random, ways: Sequence[str] = WAYS) -> None:
    """Change one thing, as people do."""
    key = chance.choice(LISTS)
    way = chance.choice(ways)
    if way == "depth":
        key = "num_transformer_layers"
    elif way in ("typo", "twice", "twice-other"):
        key = chance.choice([name for name, _ in pairs])
    elif way in ("quote", "float", "german", "zero"):
        key = chance.choice(["num_transformer_layers", "model_dim", "head_dim", "vocab_size"])
    elif way in ("multipliers", "groups"):
        key = {"multipliers": "qkv_multipliers", "groups": "num_gqa_groups"}[way]
    where = at(pairs, key)
    if where < 0:
        return
    value = pairs[where][1]
    if way == "depth" and isinstance(value, int):
        pairs[where] = (key, max(1, value + chance.choice([-6, -2, -1, -1, 1, 1, 2, 4])))
    elif way == "typo":
        pairs[where] = (typo(key, chance), value)
    elif way == "quote":
        pairs[where] = (key, str(value))
    elif way == "float" and isinstance(value, int):
        pairs[where] = (key, float(value))
    elif way == "german" and isinstance(value, int) and value > 1000:
        pairs[where] = (key, Raw(f"{value:,}".replace(",", ".")))
    elif way == "zero" and isinstance(value, int):
        pairs[where] = (key, Raw(f"0{value}"))
    elif way == "twice":
        pairs.insert(where, (key, value))
    elif way == "twice-other" and type(value) is int:
        pairs.insert(where + chance.choice([0, 1]), (key, value + 1))
    elif way == "swap":
        other = chance.choice(LISTS)
        there = at(pairs, other)
        if there >= 0:
            pairs[where], pairs[there] = (key, pairs[there][1]), (other, value)
    elif way == "multipliers":
        pairs[where] = (key, chance.choice([[0.5], [0.5, 1.0], [1.0, 0.5], 0.8, [0.75, 1.0]]))
    elif way == "groups":
        pairs[where] = (key, chance.choice([1, 2, 3, 5]))
    elif isinstance(value, list) and len(value) > 2 and key in LISTS:
        layer = chance.randrange(len(value))
        new = {
            "lose": value[:layer] + value[layer + 1 :],
            "double": value[: layer + 1] + value[layer:],
            "move-in": [*value[:layer], chance.choice(value), *value[layer:]],
            "append": value + [chance.choice(value)] * chance.choice([1, 1, 2]),
            "drop-head": value[: -chance.choice([1, 1, 2])],
        }
        pairs[where] = (key, new.get(way, value))


class Raw(str):
    """A number as it stands in the text."""

    __slots__ = ()


def as_text(pairs: Pairs, notation: str) -> str:
    """Return the text of a file; keys may stand there twice."""

    def literal(value: Any) -> str:
        return str(value) if isinstance(value, Raw) else json.dumps(value)

    if notation == "yaml":
        return "".join(f"{key}: {literal(value)}\n" for key, value in pairs)
    return "{\n" + ",\n".join(f'  "{key}": {literal(value)}' for key, value in pairs) + "\n}\n"


def is_refused(document: Document) -> bool:
    """Return whether there is a fault left: an error, or a key of a hub config that is misspelt."""
    found = diagnose(document)
    misspelt = any(d.code == "ELM102" and d.severity is Severity.WARNING for d in found)
    return misspelt or any(d.severity is Severity.ERROR for d in found)


@settings(max_examples=1_000)
@given(
    st.sampled_from(range(len(ORIGINALS))),
    st.sampled_from(["yaml", "json"]),
    st.integers(1, 2),
    st.integers(0, 2**32),
)
def test_a_safe_fix_gives_the_release_or_nothing(
    which: int, notation: str, places: int, seed: int
) -> None:
    chance = random.Random(seed)
    pairs = list(ORIGINALS[which].items())
    for _ in range(places):
        mutate(pairs, chance)
    before = parse(as_text(pairs, notation), f"x.{notation}")
    after, done = fixes.mend(before, diagnose)
    if not done or is_refused(after):
        return
    if not is_refused(before):  # a file that nobody refuses keeps the model that it has
        assert before.data is not None
        assert after.data is not None
        assert shapes(after.data) == shapes(before.data)
        return
    assert after.data is not None
    assert shapes(after.data) == shapes(ORIGINALS[which]), (done, before.text)


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(shipped())),
    st.sampled_from(["yaml", "json"]),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_slips_in_a_shipped_variant_are_mended_to_it_or_stay(
    name: str, notation: str, places: int, seed: int
) -> None:
    chance = random.Random(seed)
    original = yaml.safe_load(shipped()[name].read_text())
    pairs = list(original.items())
    for _ in range(places):
        mutate(pairs, chance, SLIPS)
    after, _ = fixes.mend(parse(as_text(pairs, notation), f"x.{notation}"), diagnose)
    if not is_refused(after):
        assert after.data is not None
        # In a config.json an unknown key may stand, which is no key of a mapping.
        known = {key: value for key, value in after.data.items() if key in Config.model_fields}
        model, meant = (geometry(elmcfg.load(values)) for values in (known, original))
        assert model.tensor_shapes() == meant.tensor_shapes()


SMALL = oracles.corenet_lists(6, 128, 32, 4, (0.5, 2.0), (0.5, 3.0))
MODEL: Values = {
    **UNIFORM,
    "num_transformer_layers": 6,
    "model_dim": 128,
    "head_dim": 32,
    "vocab_size": 64,
    "qkv_multipliers": [0.5, 2.0],
    "num_query_heads": SMALL.query_heads,
    "num_kv_heads": SMALL.kv_heads,
    "ffn_multipliers": SMALL.ffn_multipliers,
    "ffn_dim_divisor": 256,
}


def write_weights(values: Values, file: Path) -> None:
    """Write a checkpoint with the tensors of a config, all zero."""
    table = {name: ("BF16", shape) for name, shape in shapes(values).items()}
    with file.open("wb") as stream:
        write_header(stream, table)
        stream.truncate(stream.tell() + sum(2 * prod(shape) for _, shape in table.values()))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of the small model."""
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    write_weights(MODEL, file)
    return file


@settings(max_examples=300)
@given(st.sampled_from(["yaml", "json"]), st.integers(1, 2), st.integers(0, 2**32))
def test_beside_weights_it_gives_their_tensors_or_nothing(
    weights: Path, notation: str, places: int, seed: int
) -> None:
    chance = random.Random(seed)
    pairs = list(MODEL.items())
    for _ in range(places):
        mutate(pairs, chance)
    before = parse(as_text(pairs, notation), f"x.{notation}")
    after, done = fixes.mend(
        before, partial(diagnose, weights=weights), has_weights_of=has_weights_of(weights)
    )
    if done and not is_refused(after):  # what the file alone is refused for
        assert after.data is not None
        assert shapes(after.data) == shapes(MODEL), (done, before.text)


class TestWeights:
    """Weights beside the file say what is meant, where the file alone does not."""

    @pytest.fixture
    def write(self, tmp_path: Path) -> Callable[[Values, Values], Path]:
        """Write a config beside the weights of a model, and return its path."""

        def write(config: Values, weights: Values) -> Path:
            write_weights(weights, tmp_path / "model.safetensors")
            file = tmp_path / "config.json"
            file.write_text(json.dumps(config))
            return file

        return write

    def test_the_model_is_what_it_should_be(
        self, run: Run, write: Callable[[Values, Values], Path]
    ) -> None:
        assert run("validate", str(write(MODEL, MODEL))).code == 0

    @pytest.mark.parametrize("depth", [4, 5, 7])
    def test_they_tell_that_the_depth_is_wrong(
        self, depth: int, run: Run, write: Callable[[Values, Values], Path]
    ) -> None:
        file = write({**MODEL, "num_transformer_layers": depth}, MODEL)
        assert run("validate", "--fix", str(file)).code == 0
        assert json.loads(file.read_text()) == MODEL

    def test_they_tell_that_lists_are_too_long(
        self, run: Run, write: Callable[[Values, Values], Path]
    ) -> None:
        cut = {key: v[:4] if key in LISTS else v for key, v in MODEL.items()}
        shallow = {**cut, "num_transformer_layers": 4, "qkv_multipliers": [0.5, 1.0]}
        file = write({**MODEL, "num_transformer_layers": 4}, shallow)
        run("validate", "--fix", str(file))
        after = json.loads(file.read_text())
        assert {key: after[key] for key in LISTS} == {key: shallow[key] for key in LISTS}
        assert after["num_transformer_layers"] == 4

    def test_they_tell_that_a_list_is_stale(
        self, run: Run, write: Callable[[Values, Values], Path]
    ) -> None:
        stale = {**MODEL, "num_query_heads": [4] * 6, "num_kv_heads": [1] * 6}
        file = write(stale, MODEL)
        assert run("validate", "--fix", str(file)).code == 0
        assert json.loads(file.read_text()) == MODEL
        # Here it is the recipe that is stale: that is not in the tensors.
        file = write(stale, stale)
        assert run("validate", "--fix", str(file)).code == 1
        assert json.loads(file.read_text()) == stale

    def test_they_forbid_a_cut_that_the_file_alone_allows(
        self, run: Run, write: Callable[[Values, Values], Path]
    ) -> None:
        config = {**MODEL, "num_query_heads": [*MODEL["num_query_heads"], 8]}
        deeper = {
            key: [*v, v[-1]] if key in LISTS else v
            for key, v in {**MODEL, "num_transformer_layers": 7}.items()
        }
        file = write(config, MODEL)
        assert run("validate", "--fix", str(file)).code == 0
        file = write(config, deeper)
        assert run("validate", "--fix", str(file)).code == 1
        assert json.loads(file.read_text()) == config

    def test_damaged_ones_tell_nothing(
        self, run: Run, write: Callable[[Values, Values], Path]
    ) -> None:
        config = {**MODEL, "num_transformer_layers": 5}
        file = write(config, MODEL)
        file.with_name("model.safetensors").write_bytes(b"not weights")
        assert run("validate", "--fix", str(file)).code == 1
        assert json.loads(file.read_text()) == config
