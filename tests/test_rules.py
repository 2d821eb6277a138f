"""Every rule has a page; advice speaks where it should, and nowhere else."""

import json
from pathlib import Path
from typing import Any

import oracles
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import elmcfg
from elmcfg import manual, rules
from elmcfg.codes import CODES, FAMILIES
from elmcfg.config import Config
from elmcfg.costs import cost
from elmcfg.diagnostics import Severity
from elmcfg.document import parse
from elmcfg.findings import read_values
from elmcfg.linter import diagnose
from elmcfg.rules.draft import DEFAULTS, Draft
from elmcfg.strategies import broken_configs, configs

ROOT = Path(__file__).parent.parent
BASE: dict[str, Any] = {
    "num_transformer_layers": 6,
    "model_dim": 1024,
    "head_dim": 64,
    "vocab_size": 32000,
    "num_query_heads": [8] * 6,
    "num_kv_heads": [2] * 6,
    "ffn_dim_divisor": 64,
    "ffn_multipliers": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0],
}
RECIPE = {
    **{k: v for k, v in BASE.items() if "heads" not in k},
    "num_gqa_groups": 4,
    "qkv_multipliers": [0.5, 1.0],
}


def advice(values: dict[str, Any], **changes: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """Code and place of every remark on a config with some keys changed."""
    config, found = read_values({**values, **changes}, lenient=True)
    assert config is not None, found
    return [(v.code, v.loc) for v, _ in found if v.code.startswith("ELM4")]


@pytest.mark.parametrize("model", oracles.RELEASED, ids=lambda model: model.name)
def test_multipliers_without_groups_are_held_against_the_lists(model: oracles.Released) -> None:
    values: dict[str, Any] = {
        "num_transformer_layers": model.layers,
        "model_dim": model.model_dim,
        "head_dim": model.head_dim,
        "vocab_size": 32000,
        "qkv_multipliers": [0.5, 1.0],
        "num_query_heads": [4 * kv for kv in model.kv_heads],
        "num_kv_heads": model.kv_heads,
        "ffn_multipliers": model.ffn_multipliers,
    }

    def errors(**changes: Any) -> list[tuple[str, tuple[Any, ...]]]:
        found = read_values({**values, **changes}, lenient=True)[1]
        return [(v.code, v.loc) for v, severity in found if severity is Severity.ERROR]

    # What the hub's code and CoreNet make of it, which take one query per KV head then.
    one = oracles.corenet_lists(
        model.layers, model.model_dim, model.head_dim, 1, (0.5, 1.0), (0.5, 4.0)
    )
    assert errors(num_query_heads=one.query_heads, num_kv_heads=one.kv_heads) == []
    expected = [q == 4 * kv for q, kv in zip(one.query_heads, model.kv_heads, strict=True)]
    stale = [("ELM301", ("num_query_heads", expected.index(False)))]
    assert errors() == stale
    assert errors(num_gqa_groups=None) == stale
    assert errors(num_gqa_groups=4) == []
    (found,) = [v for v, _ in read_values(values, lenient=True)[1] if v.code == "ELM301"]
    assert "add num_gqa_groups: 4, which gives this list" in found.help


def test_every_module_is_in_the_registry_once() -> None:
    helpers = {"__init__", "draft", "page", "wording"}
    files = {path.stem for path in Path(rules.__file__).parent.glob("*.py")} - helpers
    assert files == set(rules.MODULES.values())
    assert len(files) == len(rules.MODULES)


@pytest.mark.parametrize("code", rules.MODULES)
def test_a_page_says_what_why_and_whence(code: str) -> None:
    page = CODES[code]
    assert page.code == code
    assert page.name == rules.MODULES[code].replace("_", "-")
    assert code[3] in FAMILIES
    assert len(page.what) > 40
    assert len(page.why) > 40
    assert page.source
    assert all(len(line) <= 100 for line in page.explanation.splitlines())


def test_codes_keep_their_order_and_advice_its_checks() -> None:
    assert list(CODES) == sorted(CODES)
    assert len(rules.advice_checks()) == sum(code.startswith("ELM4") for code in CODES)
    for code, name in rules.MODULES.items():
        if code.startswith("ELM4"):
            assert CODES[code].severity is not Severity.ERROR, name


def test_the_manual_is_in_step() -> None:
    # The one beside the tests: an installed package has no docs.
    committed = ROOT / "docs" / manual.PATH.name
    assert committed.read_text() == manual.text(), "run 'python -m elmcfg.manual'"


def test_explain_prints_the_page_by_code_and_by_name(run: Run) -> None:
    by_code = run("explain", "elm203")
    assert by_code.code == 0
    assert by_code.out.startswith("ELM203 head-divisibility (error)\n\nIn each layer")
    assert "Bad:\n    num_query_heads: [18]" in by_code.out
    assert "Source: arXiv 2305.13245" in by_code.out
    assert run("explain", "head-divisibility").out == by_code.out
    listing = run("explain").out
    assert all(f"  {code}  " in listing for code in CODES)


def test_an_unknown_code_is_named_with_a_near_one(run: Run) -> None:
    done = run("explain", "plateau")
    assert (done.code, done.out) == (2, "")
    assert "did you mean plateaus?" in done.err


def test_defaults_are_those_of_the_models() -> None:
    assert {key: Config.model_fields[key].default for key in DEFAULTS} == DEFAULTS


def test_the_bases_are_free_of_remarks() -> None:
    assert advice(BASE) == []
    assert advice(RECIPE) == []


@pytest.mark.parametrize(
    ("values", "changes", "expected"),
    [
        # 0.05 * 1024 = 51 channels, and 64 is the least: 25 % more; over 256 it is five times.
        (BASE, {"ffn_multipliers": [0.05, 1.0, 1.5, 2.0, 2.5, 3.0]}, []),
        (
            BASE,
            {"ffn_multipliers": [0.05, 1.0, 1.5, 2.0, 2.5, 3.0], "ffn_dim_divisor": 256},
            [("ELM401", ("ffn_multipliers", 0))],
        ),
        # 576 channels in steps of 4 * 64 = 256: 288 becomes 512.
        (
            RECIPE,
            {"model_dim": 576, "ffn_dim_divisor": 64, "qkv_multipliers": 0.5},
            [("ELM401", ("qkv_multipliers",)), ("ELM402", ("qkv_multipliers",))],
        ),
        # 0.8 * 576 = 461 becomes 512, which is 11 % more in all, and no layer half as much again.
        (RECIPE, {"model_dim": 576, "qkv_multipliers": 0.8}, [("ELM402", ("qkv_multipliers",))]),
        (RECIPE, {"model_dim": 576, "qkv_multipliers": 0.85}, []),
        (
            BASE,
            {"ffn_multipliers": [0.5, 1.0, 15.0, 2.0, 2.5, 3.0]},
            [("ELM403", ("ffn_multipliers", 2))],
        ),
        (
            BASE,
            {"ffn_multipliers": [3.0, 2.5, 2.0, 0.15, 1.0, 0.5]},
            [("ELM403", ("ffn_multipliers", 3))],
        ),
        # A framed schedule, a crown and a valley are no slips.
        (BASE, {"ffn_multipliers": [4.0, 1.0, 1.5, 2.0, 2.5, 4.0]}, []),
        (BASE, {"ffn_multipliers": [1.0, 2.0, 3.0, 3.0, 2.0, 1.0]}, []),
        (BASE, {"ffn_multipliers": [3.0, 2.0, 1.0, 1.0, 2.0, 3.0]}, []),
        (
            BASE,
            {"ffn_multipliers": [1.0, 1.02, 1.04, 1.06, 1.08, 1.1], "ffn_dim_divisor": 256},
            [("ELM404", ("ffn_multipliers",))],
        ),
        (BASE, {"ffn_multipliers": [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]}, []),
        (
            BASE,
            {"ffn_multipliers": [0.5, 1.0, 1.5, 2.0, 2.5, 30.0]},
            [("ELM405", ("ffn_multipliers", 5))],
        ),
        (
            BASE,
            {"num_query_heads": [8, 8, 8, 8, 8, 18]},
            [("ELM406", ("num_query_heads", 5))],
        ),
        # 4 queries per KV head of 64 in 576 channels: 1.0 gives 12 heads, not 9.
        (RECIPE, {"model_dim": 576, "qkv_multipliers": 1.0}, [
            ("ELM402", ("qkv_multipliers",)), ("ELM406", ("qkv_multipliers",))
        ]),
        (RECIPE, {"qkv_multipliers": 2.0}, []),
        (BASE, {"model_dim": 1040}, [("ELM407", ("model_dim",))]),
        (BASE, {"model_dim": 1056, "num_query_heads": [8] * 6}, [("ELM408", ("model_dim",))]),
        (
            BASE,
            {"ffn_dim_divisor": 8, "ffn_multipliers": [0.5, 1.0, 1.5, 2.0, 2.5, 3.01]},
            [("ELM407", ("ffn_multipliers", 5))],
        ),
        (BASE, {"head_dim": 32, "num_query_heads": [8] * 5 + [12]}, []),
        (
            BASE,
            {"head_dim": 32, "num_query_heads": [8] * 5 + [14]},
            [],
        ),
        (
            BASE,
            {"head_dim": 32, "num_query_heads": [8] * 5 + [9], "num_kv_heads": [2] * 5 + [3]},
            [("ELM408", ("num_query_heads", 5))],
        ),
        # The file's own group decides: 64 would do, 128 does not.
        (BASE, {"model_dim": 1088, "quantization": {"group_size": 64, "bits": 4}}, []),
        (
            BASE,
            {"model_dim": 1088, "quantization": {"group_size": 128, "bits": 4}},
            [("ELM407", ("model_dim",))],
        ),
        (BASE, {"vocab_size": 50257}, [("ELM409", ("vocab_size",))]),
        (BASE, {"vocab_size": 64}, []),
        (BASE, {"bos_token_id": 32000}, [("ELM410", ("bos_token_id",))]),
        (BASE, {"pad_token_id": 32000}, [("ELM410", ("pad_token_id",))]),
        (BASE, {"pad_token_id": 31999, "eos_token_id": 31999}, []),
        (BASE, {"max_context_length": 4097}, [("ELM411", ("max_context_length",))]),
        (BASE, {"rope_max_length": 1024}, [("ELM411", ("rope_max_length",))]),
        (BASE, {"max_context_length": 4096}, []),
        (BASE, {"vocab_size": 2**30}, [("ELM412", ("model_dim",))]),
        (
            BASE,
            {"max_context_length": 2**20, "rope_max_length": 2**21},
            [("ELM413", ("max_context_length",))],
        ),
    ],
)  # fmt: skip
def test_advice(
    values: dict[str, Any], changes: dict[str, Any], expected: list[tuple[str, tuple[Any, ...]]]
) -> None:
    assert advice(values, **changes) == expected


def test_a_list_with_pythons_rounding_is_told_from_corenets() -> None:
    """21 layers of width 1152: layer 13 is 3328 channels with numpy's round, 3072 with Python's."""
    line = [0.5 + 3.5 * i / 20 for i in range(21)]
    values = RECIPE | {
        "num_transformer_layers": 21,
        "model_dim": 1152,
        "ffn_dim_divisor": 256,
        "qkv_multipliers": 1.0,
        "num_gqa_groups": 2,
    }
    published = oracles.corenet_lists(21, 1152, 64, 4, (0.5, 1.0), (0.5, 4.0))
    assert published.ffn_widths[13] == 3328
    assert advice(values, ffn_multipliers=published.ffn_multipliers) == []
    found = advice(values, ffn_multipliers=[round(m, 2) for m in line])
    assert found == [("ELM414", ("ffn_multipliers", 13))]


@pytest.mark.parametrize("factor", [10, 0.1, 100])
def test_a_slip_of_the_decimal_point_is_undone(factor: float) -> None:
    entries = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    entries[3] *= factor
    (d,) = elmcfg.validate(BASE | {"ffn_multipliers": entries, "ffn_dim_divisor": 64})
    assert (d.code, d.help) == ("ELM403", "is 2 meant?")


@given(configs(), st.data())
def test_rules_bear_whatever_is_unusable(values: dict[str, Any], data: st.DataObject) -> None:
    """A rule is silent where it lacks what it needs; it never stops."""
    from elmcfg.invariants import violations

    draft = {k: [v] if k.endswith("multipliers") and not isinstance(v, list) else v
             for k, v in values.items()}  # fmt: skip
    flip: st.SearchStrategy[Any] = st.booleans()
    for key in data.draw(st.sets(st.sampled_from(sorted(draft)))):
        entries = draft[key]
        if isinstance(entries, list) and entries and data.draw(flip):
            entries = list(entries)
            entries[data.draw(st.integers(0, len(entries) - 1))] = None
            draft[key] = entries
        elif data.draw(flip):
            del draft[key]
        else:
            draft[key] = None
    rules.advice(Draft(draft))
    violations(draft)


@given(configs())
def test_a_drafts_costs_are_the_configs_without_the_norms(values: dict[str, Any]) -> None:
    config, draft = Config.model_validate(values), Draft(values)
    spent = cost(config)
    assert draft.parameters == spent.parameters.total - spent.parameters.norm
    assert draft.cache_bytes == spent.kv_cache_bytes_per_token * config.max_context_length


@given(broken_configs())
def test_faults_come_with_advice(broken: Any) -> None:
    """A fault in one key does not hide a remark on another."""
    values = broken.values | {"max_context_length": 4096, "rope_max_length": 2048}
    assert "ELM411" in {d.code for d in elmcfg.validate(values)}


@pytest.mark.parametrize(
    ("help_", "heads"),
    [
        # By hand: 0.67 * 1280 = 857.6 in layer 5 is nearest to 768, which is below 90 % of it.
        ("no 10 % rule", [12] * 6 + [16] * 6 + [20] * 4),
        ("set qkv_multipliers to [0.8]", [16] * 16),
    ],
)
def test_a_stale_recipe_is_explained(help_: str, heads: list[int]) -> None:
    found = json.loads(json.dumps(elmcfg.load("openelm-270m").model_dump(exclude_none=True)))
    found |= {"num_query_heads": heads, "num_kv_heads": [q // 4 for q in heads]}
    del found["schedule"]
    (d,) = diagnose(parse(json.dumps(found), "config.json"))
    assert d.code == "ELM301"
    assert help_ in d.help
