"""``elmcfg scale`` as from a shell."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

import elmcfg
from elmcfg import schedule
from elmcfg.cli.scale import command
from elmcfg.diagnostics import has_errors
from elmcfg.profiles import PROFILES

SMALL = (
    "--layers",
    "5:9",
    "--model-dim",
    "64:256:64",
    "--vocab-size",
    "500",
    "--ffn-dim-divisor",
    "32",
)


def parsed(text: str) -> Any:
    return json.loads(text)


@pytest.mark.parametrize("target", [100e6, 600e6, 1.1e9, 3e9])
def test_a_target_is_met_within_a_thousandth(run: Run, target: float) -> None:
    done = run("scale", "--target-params", f"{target / 1e6:g}M", "-q")
    assert (done.code, done.err) == (0, "")
    config = elmcfg.load(yaml.safe_load(done.out))
    assert abs(elmcfg.cost(config).parameters.total / target - 1) <= 0.001
    # Of all that fit, the one given is near to the released shape.
    assert config.num_gqa_groups == 4
    assert 60 < config.model_dim / config.num_transformer_layers < 100


def test_a_budget_of_parameters_and_cache_is_kept(run: Run) -> None:
    arguments = ("--target-params", "600M", "--max-kv-cache", "48MiB", "--context-length", "4096")
    done = run("scale", *arguments, "--format", "json", "-q")
    values = parsed(done.out)
    assert {"version", "config", "cost", "candidates", "search"} <= set(values)
    assert {"space", "examined", "feasible", "seconds"} <= set(values["search"])
    assert len(values["candidates"]) == 5
    shapes = set()
    for candidate in values["candidates"]:
        config = elmcfg.Config(**candidate["config"])
        spent = elmcfg.cost(config)
        assert spent.kv_cache_bytes_per_token * 4096 <= 48 * 2**20
        assert abs(spent.parameters.total / 600e6 - 1) <= 0.001
        assert candidate["costs"]["params"] == spent.parameters.total
        assert candidate["cost"]["parameters"]["total"] == spent.parameters.total
        assert not has_errors(elmcfg.validate(candidate["config"]))
        shapes.add(
            (
                config.num_transformer_layers,
                config.model_dim,
                config.head_dim,
                config.num_gqa_groups,
            )
        )
    assert len(shapes) == 5
    assert values["config"] == values["candidates"][0]["config"]


def test_the_released_model_is_found_at_its_own_size(run: Run) -> None:
    done = run(
        "scale", "--target-params", "271527168", "--tolerance", "0%", "--layers", "16", "-q",
        "--model-dim", "1280", "--format", "json",
    )  # fmt: skip
    config = parsed(done.out)["config"]
    released = elmcfg.resolve(elmcfg.load("openelm-270m")).model_dump(mode="json")
    lists = ("num_query_heads", "num_kv_heads", "ffn_multipliers", "head_dim")
    assert {key: config[key] for key in lists} == {key: released[key] for key in lists}


def test_the_wide_space_from_the_command_line(run: Run) -> None:
    done = run(
        "scale", "--space", "wide", "--target-params", "271527168", "--tolerance", "0.5%",
        "--minimize", "kv-cache", "--format", "json", "-q",
    )  # fmt: skip
    values = parsed(done.out)
    assert values["search"]["examined"] == 2_706_582_528
    assert values["search"]["feasible"] == 3_809_949
    assert values["cost"]["kv_cache_bytes_per_token"] == 3_328


def test_nothing_fits_is_proved_and_says_what_would(run: Run) -> None:
    wanted = ("--target-params", "600M", "--max-kv-cache", "4MiB")
    done = run("scale", *wanted, "--format", "json")
    assert done.code == 1
    assert "none of the 93,628,710 designs of the space default fits" in done.err
    assert "--target-params 600M: can be met alone" in done.err
    assert "binding: --target-params or --max-kv-cache" in done.err
    values = parsed(done.out)
    assert (values["config"], values["candidates"]) == (None, [])
    assert values["search"]["feasible"] == 0
    nearest = {r["quantity"]: r["nearest"] for r in values["search"]["relaxations"]}
    # What the explanation offers is enough, and a byte less is not.
    offer = str(nearest["kv-cache"])
    assert run("scale", "--target-params", "600M", "--max-kv-cache", offer, "-q").code == 0
    less = str(nearest["kv-cache"] - 1)
    assert run("scale", "--target-params", "600M", "--max-kv-cache", less, "-q").code == 1


def test_a_target_below_the_smallest_model_names_it(run: Run) -> None:
    done = run("scale", "--target-params", "1M")
    assert done.code == 1
    assert done.out == ""
    assert "no design is within 0.1%, even alone (the space has 7,547,072 to" in done.err


def test_the_tolerance_is_named_with_what_it_would_have_to_be(run: Run) -> None:
    # 41 designs, whose sizes are millions of parameters apart.
    wanted = ("scale", "--layers", "16", "--model-dim", "1280", "--head-dim", "64",
              "--queries-per-kv-head", "4", "--qkv-multipliers", "0.5,1.0",
              "--ffn-multipliers", "0.5,3:5:0.05", "--target-params", "270M")  # fmt: skip
    done = run(*wanted, "--format", "json")
    assert done.code == 1
    search = parsed(done.out)["search"]
    nearest = search["relaxations"][0]["nearest"]
    needed = abs(nearest / 270e6 - 1)
    assert search["tolerance"] == 0.001 < needed <= search["least_tolerance"] < 1.1 * needed
    share = f"{search['least_tolerance'] * 100:g}%"
    assert f"--tolerance 0.1% of the target: would have to be {share}" in done.err
    assert "binding: --target-params or --tolerance;" in done.err
    assert run(*wanted, "--tolerance", share, "-q").code == 0
    tighter = f"{search['least_tolerance'] * 90:g}%"
    assert run(*wanted, "--tolerance", tighter, "-q").code == 1
    without = run("scale", "--layers", "16", "--model-dim", "1280", "--max-params", "1M")
    assert (without.code, "tolerance" in without.err) == (1, False)


def test_a_share_of_another_model(run: Run) -> None:
    done = run("scale", "--from", "openelm-1_1b", "--target-params", "60%", "-q")
    config = elmcfg.load(yaml.safe_load(done.out))
    total = elmcfg.cost(elmcfg.load("openelm-1_1b")).parameters.total
    assert abs(elmcfg.cost(config).parameters.total / total - 0.6) <= 0.0006
    assert config.qkv_multipliers is not None
    assert 0.4 <= config.qkv_multipliers[0] < config.qkv_multipliers[1] <= 1.2


@pytest.mark.parametrize("share", ["30%", "150%", "300%"])
def test_a_small_model_is_grown_and_shrunk(run: Run, share: str) -> None:
    done = run("scale", "--from", "tiny", "--target-params", share, "--tolerance", "1%", "-q")
    config = elmcfg.load(yaml.safe_load(done.out))
    total = elmcfg.cost(elmcfg.load("tiny")).parameters.total
    assert abs(elmcfg.cost(config).parameters.total / total / float(share[:-1]) * 100 - 1) <= 0.01
    assert (config.head_dim, config.num_gqa_groups, config.vocab_size) == (32, 2, 1024)


def test_a_name_that_is_a_path_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("scale", *SMALL, "--count", "2", "--name", "../x", "-o", str(tmp_path / "out"))
    assert (done.code, "makes no name of a file" in done.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_another_depth_of_another_model(run: Run) -> None:
    done = run("scale", "--from", "openelm-270m", "--layers", "20", "--format", "json")
    wanted = elmcfg.resolve(elmcfg.scale(num_transformer_layers=20, model_dim=1280))
    got = parsed(done.out)["config"]
    assert tuple(got["num_query_heads"]) == wanted.num_query_heads
    assert tuple(got["ffn_multipliers"]) == wanted.ffn_multipliers
    assert (done.err, got["name"], got["source"]) == ("", None, None)


def test_a_model_without_a_recipe_says_which_layers_differ(run: Run, tmp_path: Path) -> None:
    values = elmcfg.resolve(elmcfg.load("openelm-270m")).model_dump(mode="json", exclude_none=True)
    del values["qkv_multipliers"], values["num_gqa_groups"]
    values["ffn_multipliers"][3] = 4.0
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(values))
    done = run("scale", "--from", str(path), "--layers", "16")
    assert done.code == 0
    assert "follows no recipe exactly" in done.err
    assert "but of layer 3" in done.err


def test_selected_layers(run: Run) -> None:
    done = run("scale", "--from", "openelm-1_1b", "--select-layers", "0,4,8", "--format", "json")
    assert parsed(done.out)["config"]["num_kv_heads"] == [4, 5, 5]


def test_a_quantized_budget(run: Run) -> None:
    done = run(
        "scale", "--max-weights", "200MiB", "--weight-dtype", "q4", "--maximize", "params",
        "--format", "json", "-q",
    )  # fmt: skip
    best = parsed(done.out)["candidates"][0]
    norm = best["cost"]["parameters"]["norm"]
    matrices = best["cost"]["parameters"]["total"] - norm
    assert best["costs"]["weights"] == matrices * 4.5 / 8 + norm * 2 <= 200 * 2**20
    assert best["costs"]["weights"] > 199 * 2**20


def test_a_front_as_table_csv_and_json(run: Run) -> None:
    front = ("scale", *SMALL, "--pareto", "params,kv-cache")
    table = run(*front)
    rows = list(csv.DictReader(io.StringIO(run(*front, "--format", "csv", "-q").out)))
    values = parsed(run(*front, "--format", "json", "-q").out)
    assert table.out.splitlines()[0].split()[:3] == ["#", "layers", "model_dim"]
    assert len(table.out.splitlines()) == len(rows) + 1 == len(values["candidates"]) + 1
    assert "trade-offs (most params, least kv-cache)" in table.err
    points = [(int(r["params"]), int(r["kv-cache"])) for r in rows]
    assert points == sorted(points, reverse=True)
    assert [c["costs"]["params"] for c in values["candidates"]] == [p for p, _ in points]


def test_a_number_of_variants_is_written_or_none(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ("scale", *SMALL, "--pareto", "params,kv", "--count", "4", "-o", str(folder))
    done = run(*arguments)
    files = sorted(folder.iterdir())
    assert done.code == 0
    assert [file.name for file in files] == [f"design-0{n}.yaml" for n in range(1, 5)]
    assert run("validate", str(folder)).code == 0
    head = files[0].read_text().splitlines()[:3]
    assert head[0].startswith("# elmcfg scale --layers 5:9")
    assert head[1].startswith(f"# elmcfg {elmcfg.__version__}: ")
    assert "designs of the space given by flags" in head[2]
    before = [file.read_bytes() for file in files]
    files[0].unlink()
    again = run(*arguments)
    assert again.code == 2
    assert "--force replaces it" in again.err
    assert not files[0].exists()
    assert run(*arguments, "--force").code == 0
    assert [file.read_text().splitlines()[1:] for file in files] == [
        content.decode().splitlines()[1:] for content in before
    ]


def test_the_same_call_gives_the_same_file(run: Run) -> None:
    arguments = ("scale", "--target-params", "300M", "-q")
    assert run(*arguments).out == run(*arguments).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layers", "0", "--model-dim", "64"), "--layers: num_transformer_layers is 0"),
        (("--layers", "16"), "--model-dim missing; or give a budget"),
        ((), "--layers and --model-dim missing"),
        (("--target-params", "600X"), "unknown unit 'x'; use k, M, B"),
        (("--max-kv-cache", "48XB"), "unknown unit 'xb'; use kB"),
        (("--target-params", "60%"), "a share of what? Name a model with --from"),
        (("--min-params", "2M", "--max-params", "1M"), "contradict each other"),
        (("--target-params", "1M", "--min-params", "2M"), "contradict each other"),
        (("--layers", "8:4", "--max-params", "1M"), "the range 8:4 is empty"),
        (("--layers", "0:4", "--max-params", "1M"), "greater than or equal to 1, not 0"),
        (("--layers", "a:b", "--max-params", "1M"), "'a' is not a whole number"),
        (("--qkv-multipliers", "0.5,x"), "'0.5,x' is not a list of numbers"),
        (("--max-params", "1M", "--space", "nope"), "no such file, and no shipped space"),
        (("--max-params", "1M", "--minimize", "size"), "unknown cost 'size'"),
        (("--minimize", "kv", "--maximize", "params"), "one of --minimize and --maximize"),
        (("--max-params", "1M", "--profile", "crwn"), "unknown profile 'crwn'"),
        (("--max-params", "1M", "--select-layers", "1"), "no budget"),
        (("--select-layers", "1"), "give --from CONFIG"),
        (("--from", "tiny", "--select-layers", "4"), "its layers are 0 to 3"),
        (("--from", "tiny", "--select-layers", "x"), "'x' is not a whole number"),
        (("--from", "tiny", "--select-layers", "0", "--head-dim", "33"), "--head-dim: "),
        (("--from", "nope"), "no such file"),
        (("--max-training-flops", "2e18"), "needs --training-tokens"),
        (("--max-params", "1M", "--plot", "a.svg"), "--plot draws a front"),
        (("--pareto", "params"), "between two or three different costs"),
        (("--pareto", "params,kv", "--plot", "a.bmp"), "a picture ends in .svg, .png, .pdf"),
        (("--layers", "4", "--model-dim", "64", "--format", "csv"), "--format csv is for a search"),
        (("--from", "tiny", "--multiple-of", "128"), "--multiple-of is for a search"),
        (("--from", "tiny", "--context-length", "128"), "--context-length is for a search"),
        (("--layers", "4", "--hardware", "abacus"), "unknown machine 'abacus'"),
        (("--max-params", "9M", "--vocab-size", "0"), "--vocab-size"),
        (("--max-params", "9M", "--decimals", "x"), "neither a whole number nor none"),
        (("--max-params", "1M", "--tolerance", "x"), "'x' is not an amount such as 0.5%"),
    ],
)  # fmt: skip
def test_wrong_calls_are_explained(
    run: Run,
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("scale", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in " ".join(done.err.split())
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    many = run("scale", *SMALL, "--count", "2", "-o", str(file))
    assert (many.code, "this is a file" in many.err) == (2, True)
    one = run("scale", *SMALL, "--max-params", "1M", "-o", str(tmp_path))
    assert (one.code, "this is a folder" in one.err) == (2, True)
    assert run("scale", *SMALL, "--max-params", "1M", "-o", str(file)).code == 2
    assert file.read_text() == "mine"


def test_a_divisor_larger_than_the_model_is_answered(run: Run) -> None:
    done = run("scale", "--target-params", "50M", "--ffn-dim-divisor", "100000")
    assert done.code == 1
    assert "nearest that keeps to all others" in done.err


def test_no_shape_is_allowed(run: Run) -> None:
    done = run("scale", *SMALL, "--max-params", "1M", "--multiple-of", "7")
    assert done.code == 1
    assert "no shape has widths that --multiple-of" in done.err


def test_a_named_schedule_to_a_budget(run: Run) -> None:
    done = run("scale", "--target-params", "200M", "--profile", "crown", "-q")
    values = yaml.safe_load(done.out)
    assert len(values["ffn_multipliers"]) == 3
    assert values["schedule"]["decimals"] is None
    assert values["schedule"]["frame_ffn_multiplier"] == 4.0


@pytest.mark.parametrize("name", ["tapered", "step"])
def test_a_curved_schedule_to_a_budget_is_written_out(run: Run, name: str) -> None:
    arguments = ("--layers", "12", "--model-dim", "384", "--head-dim", "32", "--profile", name)
    done = run("scale", *arguments, "--target-non-embedding-params", "20M", "-q",
               "--ffn-dim-divisor", "32")  # fmt: skip
    assert done.code == 0
    config = elmcfg.Config.model_validate(yaml.safe_load(done.out))
    assert elmcfg.cost(config).parameters.non_embedding == pytest.approx(20e6, rel=1e-3)
    assert config.ffn_multipliers is not None
    first, *_, last = config.ffn_multipliers
    drawn = PROFILES[name]
    wanted = schedule.multipliers((first, last), 12, curve="cosine")
    if name == "step":
        wanted = (first,) * 4 + (config.ffn_multipliers[5],) * 4 + (last,) * 4
    assert config.ffn_multipliers == wanted
    assert (first > last) == (drawn.ffn[0] > drawn.ffn[-1])


def test_what_is_nearest_to_a_budget_can_be_made_from_its_flags(run: Run) -> None:
    for name in ("crown", "tapered"):
        done = run("scale", "--profile", name, "--target-params", "9M", "--layers", "12",
                   "--model-dim", "384", "--head-dim", "32")  # fmt: skip
        assert done.code == 1
        lines = done.err.splitlines()
        at = next(i for i, line in enumerate(lines) if "nearest that keeps" in line)
        nearest = int(lines[at].split(": ")[1].removesuffix(", with").replace(",", ""))
        again = run("scale", *lines[at + 1].split(), "--format", "json")
        assert json.loads(again.out)["cost"]["parameters"]["total"] == nearest


def test_its_flags_have_every_digit(run: Run) -> None:
    done = run("scale", "--target-params", "9M", "--layers", "12", "--model-dim", "384",
               "--head-dim", "32", "--frame-ffn-multiplier", "1.2345678")  # fmt: skip
    assert done.code == 1
    assert "--frame-ffn-multiplier 1.2345678" in done.err


def test_profiles_are_listed_with_sources(run: Run) -> None:
    done = run("scale", "--list-profiles")
    assert done.code == 0
    assert "crown: widest in the middle" in done.out
    assert "Source: arXiv 2509.06518" in done.out


def test_a_machine_bounds_the_times(run: Run) -> None:
    done = run("scale", "--layers", "16", "--model-dim", "1280", "--hardware", "h100", "-q")
    assert "decode of one token     at least 0.172 ms (memory-bound)" in done.err


def test_help_keeps_its_examples_on_lines_of_their_own(run: Run) -> None:
    lines = run("scale", "--help").out.splitlines()
    assert "    elmcfg scale --layers 16 --model-dim 1280" in lines


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--layers", "16", "--model-dim", "1280"], ["numpy", "mlx", "matplotlib"]),
        (["--target-params", "600M", "-q"], ["mlx", "matplotlib"]),
    ],
)
def test_nothing_heavy_is_imported(arguments: list[str], absent: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['elmcfg', 'scale', *{arguments!r}]\n"
        "from elmcfg.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"found = [m for m in {absent!r} if m in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


lengths = st.integers(1, 2**20)
FLAGS = {
    "--layers": st.integers(4, 64),
    "--queries-per-kv-head": st.sampled_from([1, 2, 4]),
    "--vocab-size": st.integers(300, 200_000),
    "--profile": st.sampled_from(["vanilla", "uniform", "reverse"]),
    "--torch-dtype": st.sampled_from(["float32", "bfloat16"]),
    "--max-context-length": lengths,
    "--rope-max-length": lengths,
    "--context-length": lengths,
}
NEEDED = {"--layers", "--context-length"}


@given(
    st.fixed_dictionaries(
        {flag: FLAGS[flag] for flag in NEEDED},
        optional={flag: values for flag, values in FLAGS.items() if flag not in NEEDED},
    ),
    st.sampled_from([("--model-dim", "2048"), ("--from", "openelm-270m")]),
)
def test_what_it_writes_has_no_warnings_and_the_context_asked_for(
    flags: dict[str, Any], beginning: tuple[str, str]
) -> None:
    words = [str(part) for pair in flags.items() for part in pair]
    done = CliRunner().invoke(command, [*beginning, *words, "--hardware", "h100"])
    context, table = (flags.get(f"--{key}") for key in ("max-context-length", "rope-max-length"))
    needed = max(context or 2048, flags["--context-length"])
    if (context or needed) < flags["--context-length"] or (table or needed) < (context or needed):
        assert done.exit_code == 2
        assert "raise it, or leave it out" in done.stderr
        return
    values = yaml.safe_load(done.stdout)
    assert not [d for d in elmcfg.validate(values) if d.severity in ("error", "warning")]
    assert values["max_context_length"] >= max(flags["--context-length"], context or 0)
    assert values["rope_max_length"] >= values["max_context_length"]
    assert values["max_context_length"] in (context, 2048, flags["--context-length"])
    assert table in (None, values["rope_max_length"])


@pytest.mark.parametrize(
    "beginning", [("--layers", "16", "--model-dim", "1280"), ("--from", "openelm-270m")]
)
def test_a_longer_context_has_a_longer_table(run: Run, beginning: tuple[str, ...]) -> None:
    done = run("scale", *beginning, "--max-context-length", "8192")
    assert run("validate", "--strict", "-", stdin=done.out).code == 0
    assert yaml.safe_load(done.out)["rope_max_length"] >= 8192


def test_a_budget_at_a_context_makes_a_design_of_that_context(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    wanted = ("--target-params", "150M", "--max-kv-cache", "64MiB", "--context-length", "8192")
    assert run("scale", *wanted, "--tolerance", "1%", "-o", str(path)).code == 0
    shown = parsed(run("show", str(path), "--format", "json").out)
    assert shown["cost"]["flops_per_token"]["context_length"] == 8192
    assert shown["cost"]["kv_cache_bytes_per_token"] * 8192 <= 64 * 2**20
    assert shown["config"]["rope_max_length"] >= 8192
    assert run("validate", "--strict", str(path)).code == 0


RECIPE = ("scale", "--layers", "16", "--model-dim", "1280")
DESIGNS = ("scale", *SMALL, "--max-params", "4M", "--count", "2")


@pytest.mark.parametrize("ending", ["json", "JSON", "yaml", "yml", "txt"])
@pytest.mark.parametrize("arguments", [RECIPE, DESIGNS[:-2]], ids=["recipe", "search"])
def test_the_name_of_the_file_decides_its_form(
    run: Run, tmp_path: Path, ending: str, arguments: tuple[str, ...]
) -> None:
    path = tmp_path / f"x.{ending}"
    assert run(*arguments, "-o", str(path)).code == 0
    assert run("validate", str(path)).code == 0
    if ending.lower() == "json":
        assert json.loads(path.read_text())["model_type"] == "openelm"
    else:
        assert path.read_text().startswith("# elmcfg scale")
    assert run("convert", str(path), str(tmp_path / "again.yaml")).code == 0
    same = parsed(run("diff", str(path), str(tmp_path / "again.yaml"), "--format", "json").out)
    assert same["same"]


@pytest.mark.parametrize(
    ("arguments", "name", "message"),
    [
        ((*RECIPE, "--format", "yaml"), "x.json", "--format yaml is not what a .json file holds"),
        ((*RECIPE, "--format", "hub"), "x.yml", "--format hub is not what a .yml file holds"),
        ((*DESIGNS, "--format", "csv"), "x.json", "--format csv is not what a .json file holds"),
        (RECIPE, "x.gguf", "elmcfg convert"),
        (RECIPE, "x.safetensors", "scale writes a config alone"),
        (RECIPE, "x.csv", "--format csv is for a search"),
        (DESIGNS, "x.json", "--count and --pareto write into a folder"),
        (DESIGNS, "x.yaml", "--count and --pareto write into a folder"),
    ],
)
def test_a_file_whose_name_says_another_form_is_not_written(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], name: str, message: str
) -> None:
    done = run(*arguments, "-o", str(tmp_path / name))
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_designs_and_a_result_are_written_by_name(run: Run, tmp_path: Path) -> None:
    table, result = tmp_path / "x.csv", tmp_path / "x.json"
    assert run(*DESIGNS, "-o", str(table)).code == 0
    assert len(list(csv.DictReader(io.StringIO(table.read_text())))) == 2
    assert run(*DESIGNS, "--format", "json", "-o", str(result)).code == 0
    assert len(json.loads(result.read_text())["candidates"]) == 2
