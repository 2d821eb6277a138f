"""Verdicts on other programs, against those programs, or their published rules."""

import json
import platform
import subprocess
import sys
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import elmcfg
from elmcfg.config import Config
from elmcfg.document import parse
from elmcfg.formats import hub
from elmcfg.geometry import geometry
from elmcfg.linter import diagnose
from elmcfg.portability import TARGETS, verdicts
from elmcfg.portability.judging import verdict_on_broken
from elmcfg.portability.verdict import Outcome, Verdict
from elmcfg.roundings import single_multipliers
from elmcfg.sources import shipped
from elmcfg.strategies import configs

OLDER = tuple(map(int, version("mlx").split(".")[:3])) < (0, 32, 4)
SMALL: dict[str, Any] = {
    "model_type": "openelm",
    "num_transformer_layers": 3,
    "model_dim": 128,
    "head_dim": 32,
    "vocab_size": 64,
    "ffn_dim_divisor": 64,
    "num_query_heads": [2, 4, 4],
    "num_kv_heads": [1, 2, 2],
    "ffn_multipliers": [0.5, 1.0, 2.0],
}
GONE = "(removed)"
# What to change, and what mlx-lm then does: builds, stops, or takes the process along.
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({}, "builds"),
    ({"num_kv_heads": [1, 0, 2]}, "crashes"),
    ({"num_kv_heads": [1, -1, 2]}, "crashes"),
    ({"num_kv_heads": [1, -4, 2]}, "stops"),
    ({"num_query_heads": [2, 0, 4]}, "stops"),
    ({"num_query_heads": [2, -2, 4]}, "stops"),
    ({"num_query_heads": [2, 3, 4]}, "stops"),
    ({"num_query_heads": [2, 4]}, "stops"),
    ({"num_query_heads": [2, 4, 4, 9]}, "builds"),
    ({"num_kv_heads": [1, 8, 2]}, "stops"),
    ({"num_kv_heads": 2}, "stops"),
    ({"num_kv_heads": [1, 1.5, 2]}, "stops"),
    ({"num_query_heads": None}, "stops"),
    ({"num_query_heads": GONE}, "stops"),
    ({"ffn_multipliers": [0.5, 1.0]}, "stops"),
    ({"ffn_multipliers": [0.5, -1.0, 2.0]}, "builds"),
    ({"ffn_multipliers": [0.5, 0, 2.0]}, "builds"),
    ({"ffn_multipliers": [0.5, 1.0, "2"]}, "stops"),
    ({"head_dim": 33}, "stops"),
    ({"head_dim": 0}, "stops"),
    ({"head_dim": -2}, "stops"),
    ({"head_dim": "32"}, "stops"),
    ({"ffn_dim_divisor": 0}, "stops"),
    ({"ffn_dim_divisor": GONE}, "stops"),
    ({"vocab_size": 0}, "stops"),
    ({"vocab_size": -1}, "stops"),
    ({"model_dim": 0}, "stops"),
    ({"model_dim": -128}, "stops"),
    ({"num_transformer_layers": 0}, "stops"),
    ({"num_transformer_layers": 2}, "builds"),
    ({"num_transformer_layers": 3.0}, "stops"),
    ({"rms_norm_eps": 0}, "stops"),
    ({"ffn_with_glu": False}, "builds"),
    ({"rope_freq_constant": 0}, "builds"),
    ({"model_type": "opnelm"}, "stops"),
    ({"unknown_key": 1}, "builds"),
    ({"normalize_qk_projections": False}, "builds"),
    ({"share_input_output_layers": False}, "builds"),
]


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in {**SMALL, **changes}.items() if v != GONE}


@pytest.fixture(scope="module")
def real() -> list[dict[str, Any]]:
    """What the real mlx-lm does with each of BROKEN, in child processes."""
    pytest.importorskip("mlx_lm")
    child = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("real_mlx_lm.py"))],
        input=json.dumps([changed(changes) for changes, _ in BROKEN]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in child.stdout.splitlines()]


@pytest.mark.skipif(OLDER, reason="said of MLX 0.32.4; older ones differ where a config is broken")
@pytest.mark.parametrize("number", range(len(BROKEN)), ids=lambda n: str(BROKEN[n][0]))
def test_mlx_lm_does_what_is_said_of_it(real: list[dict[str, Any]], number: int) -> None:
    changes, expected = BROKEN[number]
    kinds = {"shapes": "builds", "error": "stops", "signal": "crashes"}
    happened = next(kinds[key] for key in real[number] if key in kinds)
    if expected == "crashes" and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("only x86 traps an integer division by zero")
    assert happened == expected
    verdict = verdict_on_broken(changed(changes))
    said = {Outcome.REFUSES: "stops", Outcome.CRASHES: "crashes"}
    assert said.get(verdict.outcome, "builds") == expected


@given(configs(max_layers=5, max_dim=128))
def test_mlx_lm_builds_what_is_said(values: dict[str, Any]) -> None:
    """The same tensors as this config means, exactly where the verdict says so."""
    pytest.importorskip("mlx_lm")
    from mlx.utils import tree_flatten
    from mlx_lm.models import openelm

    config = Config.model_validate(values)
    program: Any = openelm  # has no types
    model = program.Model(program.ModelArgs.from_dict(hub.values(config)))
    tensors: Any = tree_flatten(model.parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors}
    (verdict,) = verdicts(config, ["mlx-lm"])
    assert (verdict.outcome is Outcome.SAME) == (shapes == geometry(config).tensor_shapes())
    assert (verdict.outcome is Outcome.SAME) == config.ffn_with_glu


def verdict(target: str, values: dict[str, Any]) -> Verdict:
    """On a ``config.json`` as it stands."""
    config = Config.model_validate({k: v for k, v in values.items() if k in Config.model_fields})
    return verdicts(config, [target], values)[0]


def released(name: str = "openelm-270m", /, **changes: Any) -> dict[str, Any]:
    values = {**hub.values(elmcfg.load(name)), **changes}
    return {k: v for k, v in values.items() if v != GONE}


@pytest.mark.parametrize("model", oracles.RELEASED, ids=lambda m: m.name)
@pytest.mark.parametrize("target", TARGETS)
def test_the_released_models_are_the_same_everywhere(model: oracles.Released, target: str) -> None:
    assert verdicts(elmcfg.load(model.name), [target])[0].outcome is Outcome.SAME
    assert verdict(target, released(model.name)).outcome is Outcome.SAME


def hub_code(values: dict[str, Any]) -> list[tuple[int, int, int]] | None:
    """OpenELMConfig as published, and the layers made from it; None where it stops."""
    n, d, h = (values[k] for k in ("num_transformer_layers", "model_dim", "head_dim"))
    groups, qkv = values.get("num_gqa_groups", 1), values.get("qkv_multipliers", 1.0)

    def spread(points: Any) -> list[float] | None:
        if isinstance(points, int | float):
            return [points] * n
        if len(points) != 2:
            return None
        return [float(np.round(x, 2)) for x in np.linspace(points[0], points[1], num=n)]

    attention, ffn = spread(qkv), spread(values["ffn_multipliers"])
    if ffn is None and len(values["ffn_multipliers"]) == n:
        ffn = values["ffn_multipliers"]
    if attention is None or ffn is None:
        return None
    heads = [oracles.make_divisible(d * m, h * groups) // h for m in attention]
    kv_heads = values.get("num_kv_heads") or [q // groups for q in heads]
    if any(q > kv and q % kv for q, kv in zip(heads, kv_heads, strict=True)):
        return None
    widths = [oracles.make_divisible(d * m, values.get("ffn_dim_divisor", 256)) for m in ffn]
    return list(zip(heads, kv_heads, widths, strict=True))


@given(configs(max_layers=12, max_dim=1024))
def test_the_hubs_code_builds_what_is_said(values: dict[str, Any]) -> None:
    config = Config.model_validate(values)
    written = hub.values(config)
    built, said = hub_code(written), verdicts(config, ["hf"])[0]
    if built is None:
        assert said.outcome is Outcome.REFUSES
        return
    meant = [(x.num_query_heads, x.num_kv_heads, x.ffn_dim) for x in geometry(config).layers]
    differ = [i for i, (a, b) in enumerate(zip(built, meant, strict=True)) if a != b]
    if differ:
        assert (said.outcome, said.layer) == (Outcome.ANOTHER, differ[0])
    elif config.max_context_length > config.vocab_size:
        assert (said.outcome, said.loc) == (Outcome.ANOTHER, ("vocab_size",))
    else:
        assert said.outcome is Outcome.SAME


def test_the_hubs_code_takes_the_recipe_and_not_the_list() -> None:
    """Lists alone: it takes one multiplier of 1.0, and one query head per KV head."""
    values = released(qkv_multipliers=GONE, num_gqa_groups=GONE)
    said = verdict("hf", values)
    assert (said.outcome, said.layer) == (Outcome.REFUSES, 0)  # 20 heads over 3
    assert "20 query heads, which are no multiple of 3" in said.message


def test_the_hubs_code_has_another_default() -> None:
    key = "normalize_qk_projections"
    said = verdict("hf", released(**{key: GONE}))
    assert (said.outcome, said.loc) == (Outcome.ANOTHER, (key,))
    assert verdict("mlx-lm", released(**{key: GONE})).outcome is Outcome.SAME


@given(
    st.integers(2, 40),
    st.integers(1, 16),
    st.sampled_from([1, 2, 3, 4]),
    st.tuples(st.integers(20, 150), st.integers(20, 150)),
    st.tuples(st.integers(20, 500), st.integers(20, 500)),
)
def test_corenet_builds_every_line(
    layers: int, width: int, sharing: int, qkv: tuple[int, int], ffn: tuple[int, int]
) -> None:
    """A config of lists that CoreNet's own rule made is one that CoreNet can say."""
    ends = ((qkv[0] / 100, qkv[1] / 100), (ffn[0] / 100, ffn[1] / 100))
    made = oracles.corenet_lists(layers, width * 64, 64, sharing, *ends)
    values = {
        "num_transformer_layers": layers,
        "model_dim": width * 64,
        "head_dim": 64,
        "vocab_size": 64,
        "num_query_heads": made.query_heads,
        "num_kv_heads": made.kv_heads,
        "ffn_multipliers": made.ffn_multipliers,
    }
    said = verdicts(Config.model_validate(values), ["corenet"])[0]
    assert said.outcome is Outcome.SAME, said


def test_corenet_cannot_say_a_list_that_is_no_line() -> None:
    heads = [12, 12, 12, 12, 12, 16, 16, 20, 16, 16, 16, 16, 20, 20, 20, 20]
    values = released(
        num_query_heads=heads, num_kv_heads=[q // 4 for q in heads], qkv_multipliers=GONE
    )
    said = verdict("corenet", values)
    assert (said.outcome, said.layer) == (Outcome.REFUSES, 7)
    sharing = released(
        num_kv_heads=[*([3] * 5), *([4] * 7), *([10] * 4)],
        qkv_multipliers=GONE,
        num_gqa_groups=GONE,
    )
    said = verdict("corenet", sharing)
    assert (said.outcome, said.layer, said.loc) == (Outcome.REFUSES, 12, ("num_kv_heads", 12))


def swift_line(stop: float, n: int) -> list[np.float32]:
    """Swift's stride, rounded to two decimals, as published, on numpy's 32-bit floats."""
    f = np.float32
    step = f(f(stop) - f(0.5)) / f(n - 1)
    exact = [Fraction(0.5) + i * Fraction(float(step)) for i in range(n)]
    return [np.floor(f(float(x)) * f(100) + f(0.5)) / f(100) for x in exact]


# At 101 and 141 layers a step that is not itself rounded to 32 bits would give other multipliers.
@pytest.mark.parametrize("layers", [2, 16, 21, 36, 101, 141, 201])
@pytest.mark.parametrize("stop", [1.0, 4.0])
def test_a_line_in_single_precision(layers: int, stop: float) -> None:
    expected = tuple(float(m) for m in swift_line(stop, layers))
    assert single_multipliers(0.5, stop, layers) == expected


def swift(n: int, d: int, h: int, divisor: int) -> list[tuple[int, int, int]]:
    """OpenELM.swift as published, on numpy's 32-bit floats."""
    f = np.float32

    def divisible(value: np.float32, divisor: int) -> int:
        whole = int((value + f(divisor) / f(2)) / f(divisor)) * divisor
        rounded = max(divisor, whole)
        return rounded + divisor if f(rounded) < f(0.9) * value else rounded

    heads = [divisible(f(d) * m, h * 4) // h for m in swift_line(1.0, n)]
    widths = [divisible(m * f(d), divisor) for m in swift_line(4.0, n)]
    return [(q, q // 4, w) for q, w in zip(heads, widths, strict=True)]


@given(
    st.integers(2, 64), st.integers(1, 64), st.sampled_from([64, 128]), st.sampled_from([64, 256])
)
def test_mlx_swift_builds_the_released_recipe_in_single_precision(
    layers: int, width: int, head_dim: int, divisor: int
) -> None:
    config = elmcfg.scale(
        num_transformer_layers=layers,
        model_dim=width * 64,
        head_dim=head_dim,
        ffn_dim_divisor=divisor,
    )
    meant = [(x.num_query_heads, x.num_kv_heads, x.ffn_dim) for x in geometry(config).layers]
    built = swift(layers, width * 64, head_dim, divisor)
    differ = [i for i, (a, b) in enumerate(zip(built, meant, strict=True)) if a != b]
    said = verdicts(config, ["mlx-swift"])[0]
    expected = (Outcome.ANOTHER, differ[0]) if differ else (Outcome.SAME, None)
    assert (said.outcome, said.layer) == expected


@pytest.mark.parametrize(
    ("target", "changes", "outcome", "loc"),
    [
        ("llama.cpp", {"normalize_qk_projections": False}, Outcome.REFUSES, None),
        ("llama.cpp", {"ffn_with_glu": False}, Outcome.REFUSES, None),
        ("llama.cpp", {"share_input_output_layers": False}, Outcome.REFUSES, None),
        ("llama.cpp", {"rope_freq_constant": GONE}, Outcome.REFUSES, ("rope_freq_constant",)),
        ("llama.cpp", {"ffn_multipliers": [0.5, 4.0]}, Outcome.REFUSES, ("ffn_multipliers",)),
        ("llama.cpp", {"rms_norm_eps": 1e-5}, Outcome.ANOTHER, None),
        ("llama.cpp", {"rope_freq_constant": 500000}, Outcome.SAME, ()),
        ("hf", {"rms_norm_eps": 1e-5}, Outcome.ANOTHER, None),
        ("hf", {"ffn_with_glu": False}, Outcome.SAME, ()),
        ("corenet", {"rms_norm_eps": 1e-5}, Outcome.ANOTHER, None),
        ("corenet", {"ffn_with_glu": False}, Outcome.SAME, ()),
        ("mlx-lm", {"rms_norm_eps": 1e-5}, Outcome.SAME, ()),
        ("mlx-lm", {"ffn_with_glu": False}, Outcome.ANOTHER, None),
        ("mlx-lm", {"ffn_dim_divisor": GONE}, Outcome.REFUSES, ("ffn_dim_divisor",)),
        ("mlx-lm", {"ffn_multipliers": [0.5, 4.0]}, Outcome.REFUSES, ("ffn_multipliers",)),
        ("mlx-swift", {"rope_freq_constant": 500000}, Outcome.ANOTHER, None),
        ("mlx-swift", {"rms_norm_eps": 1e-5}, Outcome.ANOTHER, None),
        ("mlx-swift", {"ffn_with_glu": False}, Outcome.ANOTHER, None),
        ("mlx-swift", {"normalize_qk_projections": False}, Outcome.SAME, ()),
        ("mlx-swift", {"share_input_output_layers": False}, Outcome.REFUSES, None),
        ("mlx-swift", {"ffn_dim_divisor": GONE}, Outcome.REFUSES, ("ffn_dim_divisor",)),
    ],
)
def test_what_each_program_cannot_do(
    target: str, changes: dict[str, Any], outcome: Outcome, loc: tuple[str, ...] | None
) -> None:
    said = verdict(target, released(**changes))
    assert said.outcome is outcome, said
    assert said.loc == (tuple(changes) if loc is None else loc)


def test_llama_cpp_has_room_for_512_layers() -> None:
    config = elmcfg.scale(num_transformer_layers=513, model_dim=64, ffn_multipliers=1.0)
    assert verdicts(config, ["llama.cpp"])[0].outcome is Outcome.REFUSES
    fits = config.model_copy(update={"num_transformer_layers": 512})
    assert verdicts(fits, ["llama.cpp"])[0].outcome is Outcome.SAME


def test_the_command_says_that_a_released_model_is_fine(run: Run) -> None:
    done = run("validate", "--target", "all", "openelm-270m")
    assert done.code == 0
    assert "info[ELM500]: mlx-lm, hf, llama.cpp, corenet, mlx-swift: same model" in done.out


def test_the_command_says_who_breaks_at_a_crown(run: Run) -> None:
    done = run("validate", "--target", "all", "--format", "json", "lws-18l-crown")
    found = {d["message"].split()[0].strip(":"): d for d in json.loads(done.out)["diagnostics"]}
    assert {name: (d["code"], d["line"]) for name, d in found.items()} == {
        "mlx-lm": ("ELM500", None),
        "hf": ("ELM502", 19),
        "corenet": ("ELM502", 19),
        "llama.cpp": ("ELM502", 31),
        "mlx-swift": ("ELM502", 31),
    }
    assert done.code == 0


def test_an_error_where_another_model_is_built(run: Run) -> None:
    done = run("validate", "--target", "mlx-swift", "--target", "mlx-lm", "tiny")
    assert done.code == 1
    assert "mlx-swift silently builds another model: layer 0 gets 4 query heads, not 2" in done.out


def test_what_mlx_lm_does_with_a_broken_file() -> None:
    text = json.dumps({**SMALL, "num_kv_heads": [1, 0, 2]})
    found = {d.code: d for d in diagnose(parse(text, "config.json"), targets=["mlx-lm"])}
    assert found["ELM503"].loc == ("num_kv_heads", 1) == found["ELM202"].loc
    assert "dies of SIGFPE" in found["ELM503"].message
    text = json.dumps({**SMALL, "num_transformer_layers": 2})
    found = {d.code: d for d in diagnose(parse(text, "config.json"), targets=["mlx-lm", "hf"])}
    assert "takes the first 2 of the 3 entries of num_query_heads" in found["ELM501"].message
    assert found["ELM501"].help.startswith("mend the errors reported here")
    # A recipe that does not make the lists is an error, but none to mlx-lm, which has only lists.
    recipe = {"qkv_multipliers": [0.5, 4.0], "num_gqa_groups": 2}
    found = {
        d.code: d
        for d in diagnose(parse(json.dumps({**SMALL, **recipe}), "c.json"), targets=["mlx-lm"])
    }
    assert "ELM301" in found
    assert "ELM501" not in found
    assert found["ELM500"].message.startswith("mlx-lm: builds exactly what the lists say")
    # No program reads YAML, so of a broken variant nothing can be said.
    assert "ELM501" not in {d.code for d in diagnose(parse(text, "x.yaml"), targets=["mlx-lm"])}


@pytest.mark.parametrize(
    ("name", "near"), [("mlxlm", "mlx-lm"), ("llamacpp", "llama.cpp"), ("HF", "hf")]
)
def test_an_unknown_program_is_named_with_a_near_one(run: Run, name: str, near: str) -> None:
    done = run("validate", "--target", name, "tiny")
    assert (done.code, done.out) == (2, "")
    assert f"did you mean {near}?" in done.err


def test_verdicts_on_every_variant() -> None:
    for name in shipped():
        assert len(verdicts(elmcfg.load(name), TARGETS)) == len(TARGETS)
