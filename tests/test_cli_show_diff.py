"""``elmcfg show`` of several configs and ``elmcfg diff``."""

import json
from pathlib import Path

import pytest
from conftest import Run

import elmcfg
from elmcfg.differences import compare


def test_the_table_of_layers_adds_up(run: Run) -> None:
    done = run("show", "openelm-270m")
    rows = [line.split() for line in done.out.splitlines() if line.strip().startswith("15 ")]
    # The running totals end at the model's own: 543,054,336 bytes less the final norm's 2,560.
    assert "517.9 MiB" in " ".join(rows[0])
    assert "16,128" in rows[0]


def test_json_has_the_running_totals_of_every_layer(run: Run) -> None:
    layers = json.loads(run("show", "openelm-270m", "--format", "json").out)["layers"]
    # Two bytes each: the released table of 32,000 x 1,280, and layer 0 with 12 and 3 heads and
    # 768 channels: (12 + 6 + 12) * 64 * 1,280 + 3 * 768 * 1,280 + 2 * 1,280 + 2 * 64.
    first = 2 * (32_000 * 1_280 + 30 * 64 * 1_280 + 3 * 768 * 1_280 + 2 * 1_280 + 128)
    assert layers[0]["cumulative_weight_bytes"] == first
    assert layers[0]["cumulative_kv_cache_bytes_per_token"] == 2 * 2 * 3 * 64
    assert layers[-1]["cumulative_weight_bytes"] == 543_054_336 - 2_560
    assert layers[-1]["cumulative_kv_cache_bytes_per_token"] == 16_128
    totals = [layer["cumulative_weight_bytes"] for layer in layers]
    assert totals == sorted(totals)


def test_several_configs_stand_side_by_side(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("show", "tiny", "openelm-270m")
    lines = done.out.splitlines()
    assert lines[0].split() == ["tiny", "openelm-270m"]
    assert sum(line.count("█") > 0 for line in lines) == 16
    assert "271,527,168" in done.out
    assert len(max(lines, key=len)) <= 100


def test_several_configs_as_json(run: Run) -> None:
    values = json.loads(
        run("show", "tiny", "openelm-270m", "--hardware", "h100", "--format", "json").out
    )
    assert [len(one["layers"]) for one in values["configs"]] == [4, 16]
    assert values["configs"][1]["roofline"]["decode_bound"] == "memory"


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_picture_is_drawn_once_and_the_same_each_time(
    run: Run, tmp_path: Path, ending: str
) -> None:
    first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    assert run("show", "tiny", "--plot", str(first)).code == 0
    assert run("show", "tiny", "--plot", str(second)).code == 0
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 5_000
    done = run("show", "tiny", "--plot", str(first))
    assert (done.code, "--force" in done.err) == (2, True)
    assert run("show", "tiny", "--plot", str(first), "--force").code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a.{ending}", f"b.{ending}"]


def test_a_front_is_drawn_with_the_released_models(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "front.svg"
    done = run(
        "scale", "--max-params", "1B", "--pareto", "params,kv,flops", "--plot", str(path), "-q"
    )
    assert done.code == 0
    text = path.read_text()
    assert text.count("openelm-270m") == 1
    assert "openelm-3b" not in text


def test_pictures_without_matplotlib_say_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    done = run("show", "tiny", "--plot", str(tmp_path / "a.svg"))
    assert (done.code, "pip install 'elmcfg[plot]'" in done.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_model_does_not_differ_from_its_lists(run: Run) -> None:
    config = elmcfg.load("lws-18l-crown")
    assert compare(config, elmcfg.resolve(config)).is_empty
    done = run("diff", "tiny", "tiny")
    assert done.code == 0
    assert "4 layers alike" in done.out


def test_a_difference_is_shown_by_layer_and_in_cost(run: Run) -> None:
    done = run("diff", "openelm-270m", "uniform-270m")
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert (
        "layer 15 q 20 kv 5 ffn 5,120 q 16 kv 4 ffn 2,880 q -20.0%, kv -20.0%, ffn -43.8%" in lines
    )
    assert "parameters 271,527,168 270,380,288 -0.4%" in lines
    assert "ffn_dim_divisor 256 64" in lines


def test_layers_that_only_one_has(run: Run) -> None:
    values = json.loads(run("diff", "tiny", "openelm-270m", "--format", "json").out)
    assert values["same"] is False
    index, pairs = values["layers"][-1]
    assert (index, pairs["num_query_heads"]) == (15, [None, 20])
    assert values["keys"]["vocab_size"] == [1024, 32000]
    done = run("diff", "openelm-270m", "tiny")
    assert [line.split()[-1] for line in done.out.splitlines() if line.startswith("layer 15")] == [
        "gone"
    ]
    assert run("diff", "tiny", "nope").code == 2


def test_the_recipe_is_shown_with_how_exactly_it_holds(run: Run) -> None:
    lines = run("show", "openelm-270m").out.splitlines()
    assert "  ffn_multipliers: [0.5, 4] (linear; gives every multiplier)" in lines
    values = json.loads(run("show", "openelm-270m", "--format", "json").out)["recipe"]
    assert values["exact"] is True
    assert values["num_gqa_groups"] == 4
    assert values["qkv_multipliers"]["points"] == [0.5, 1.0]
