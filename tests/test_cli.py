"""The commands as a user meets them: output, exit codes, wrong calls."""

import json
import os
import subprocess
import sys
from pathlib import Path

import oracles
import pytest
from conftest import Run

import elmcfg
from elmcfg import __version__
from elmcfg.linter import load
from elmcfg.sources import data_folder

BROKEN = """\
num_transformer_layers: 4
model_dim: 512
head_dim: 64
vocab_size: 1024
num_query_heads: [4, 4, 8, 7]
num_kv_heads: [1, 1, 2, 2]
ffn_multipliers: [0.5, 1.0, 2.0, 4.0]
"""

DIAGNOSTIC_KEYS = {"path", "line", "column", "end_line", "end_column", "code", "severity"}
DIAGNOSTIC_KEYS |= {"pointer", "message", "help"}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    return file


class TestValidate:
    def test_a_folder_of_good_files(self, run: Run) -> None:
        done = run("validate", str(data_folder("variants")))
        assert (done.code, done.err) == (0, "")
        assert done.out == "10 files checked: no problems\n"

    def test_a_broken_file_is_shown_in_a_frame(self, run: Run, broken: Path) -> None:
        done = run("validate", str(broken))
        assert done.code == 1
        assert done.out == (
            "error[ELM203]: layer 3: num_query_heads is 7, which is not a multiple of "
            "num_kv_heads, 2\n"
            f" --> {broken}:5:28\n"
            "  |\n"
            "5 | num_query_heads: [4, 4, 8, 7]\n"
            "  |                            ^ 7 query heads\n"
            "6 | num_kv_heads: [1, 1, 2, 2]\n"
            "  |                         ^ 2 KV heads\n"
            "  |\n"
            "  = help: use 6 or 8 query heads, or a number of KV heads that divides 7\n"
            "\n"
            "1 file checked: 1 error\n"
        )

    def test_json_has_the_promised_keys(self, run: Run, broken: Path) -> None:
        done = run("validate", "--format", "json", str(broken), "tiny")
        assert done.code == 1
        result = json.loads(done.out)
        assert list(result)[:5] == ["version", "files", "errors", "warnings", "diagnostics"]
        assert (result["version"], result["files"]) == (__version__, 2)
        assert (result["errors"], result["warnings"]) == (1, 0)
        (finding,) = result["diagnostics"]
        assert finding.keys() >= DIAGNOSTIC_KEYS
        assert finding["pointer"] == "/num_query_heads/3"
        place = [finding[k] for k in ("line", "column", "end_line", "end_column")]
        assert place == [5, 28, 5, 29]

    def test_a_place_that_the_text_has_not_is_null(self, run: Run) -> None:
        done = run("validate", "--format", "json", "-", stdin="{}")
        places = {d["line"] for d in json.loads(done.out)["diagnostics"]}
        assert places == {None}

    def test_standard_input(self, run: Run) -> None:
        done = run("validate", "-", stdin=BROKEN)
        assert done.code == 1
        assert "<stdin>:5:28" in done.out

    def test_quiet_says_nothing_of_good_files(self, run: Run) -> None:
        assert run("validate", "-q", "tiny").out == ""

    @pytest.mark.parametrize(
        ("content", "code", "place"),
        [
            (b"", "ELM005", ""),
            (b"   \n", "ELM005", ""),
            (b"\x89PNG\r\n\x1a\n\0", "ELM001", ":1:1"),
            (b"\xff\xfea\0", "ELM001", ""),
            (b"a: \0", "ELM001", ""),
            (b"a: [1,\nb: 2\n", "ELM002", ""),
            (b"a: 1\na: 2\n", "ELM003", ":2:1"),
            (b"- 1\n", "ELM005", ":1:1"),
            (b"--- {a: 1}\n--- {b: 1}\n", "ELM006", ":2:1"),
            (b"model_dim: 010\n", "ELM007", ":1:12"),
            (b"model_dim: [1]\n", "ELM103", ":1:12"),
            (b"x: " + b"[" * 100_000, "ELM004", ":1:67"),
            (b"a: !!python/object/apply:os.system [id]\n", "ELM007", ":1:4"),
        ],
        ids=lambda value: repr(value)[:30],
    )
    @pytest.mark.parametrize("suffix", ["", ".json", ".yaml"])
    def test_bad_files(
        self, run: Run, tmp_path: Path, content: bytes, code: str, place: str, suffix: str
    ) -> None:
        file = tmp_path / f"bad{suffix}"
        file.write_bytes(content)
        done = run("validate", str(file))
        assert done.code == 1
        if suffix != ".json":  # as JSON, most of these are but bad syntax
            assert f"[{code}]" in done.out
            assert f"{file}{place}" in done.out

    def test_bad_json_has_a_place_and_a_remedy(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "config.json"
        file.write_text('{\n  "model_dim": 1280,\n}\n')
        done = run("validate", str(file))
        assert done.code == 1
        assert f"error[ELM002]: invalid JSON: comma before }}\n --> {file}:3:1\n" in done.out
        assert "help: remove the comma" in done.out

    def test_a_path_that_is_not_there(self, run: Run) -> None:
        done = run("validate", "no/such.json", "tiny")
        assert done.code == 2
        assert "error[ELM001]" in done.out
        assert "no/such.json: no such file, and no shipped variant" in done.err

    def test_a_folder_without_configs(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "package.json").write_text('{"name": "other"}')
        done = run("validate", str(tmp_path))
        assert done.code == 2
        assert "no configs in this folder" in done.err

    def test_nothing_to_check(self, run: Run) -> None:
        assert run("validate").code == 2

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, run: Run, broken: Path) -> None:
        broken.chmod(0)
        done = run("validate", str(broken))
        assert done.code == 1
        assert "cannot be read: Permission denied" in done.out

    def test_a_device_is_no_file(self, run: Run) -> None:
        done = run("validate", "/dev/zero")
        assert done.code == 1
        assert "not a regular file" in done.out

    def test_long_lines_are_cut_around_the_span(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "long.yaml"
        numbers = ", ".join(["1"] * 99 + ["-1"])
        file.write_text(f"num_transformer_layers: 100\nffn_multipliers: [{numbers}]\n")
        done = run("validate", str(file))
        assert "[ELM205]" in done.out
        frames = [line for line in done.out.splitlines() if line.startswith("2 |")]
        assert all(len(line) <= 100 and "-1" in line for line in frames)
        assert frames


class TestScale:
    @pytest.mark.parametrize("model", oracles.RELEASED, ids=lambda m: m.name)
    def test_the_released_recipes(self, run: Run, model: oracles.Released) -> None:
        done = run(
            *("scale", "--layers", str(model.layers), "--model-dim", str(model.model_dim)),
            *("--head-dim", str(model.head_dim), "--queries-per-kv-head", "4"),
            *("--qkv-multipliers", "0.5,1.0", "--ffn-multipliers", "0.5,4.0"),
            *("--ffn-dim-divisor", "256", "--vocab-size", "32000", "--format", "json"),
        )
        assert done.code == 0
        result = json.loads(done.out)
        assert list(result) == ["version", "config", "cost", "candidates"]
        assert result["config"]["num_kv_heads"] == model.kv_heads
        assert result["config"]["num_query_heads"] == [4 * kv for kv in model.kv_heads]
        assert result["config"]["ffn_multipliers"] == model.ffn_multipliers
        assert result["cost"]["parameters"]["total"] == model.parameters
        assert result["cost"]["kv_cache_bytes_per_token"] == model.kv_bytes

    @pytest.mark.parametrize("format_", ["yaml", "hub"])
    def test_what_it_writes_validates(self, run: Run, format_: str) -> None:
        made = run("scale", "--layers", "16", "--model-dim", "1280", "--format", format_)
        assert run("validate", "-", stdin=made.out).code == 0
        shown = run("show", "-", "--format", "json", stdin=made.out)
        assert json.loads(shown.out)["cost"]["parameters"]["total"] == 271_527_168

    def test_schedule_options_are_kept(self, run: Run) -> None:
        made = run(
            *("scale", "--layers", "18", "--model-dim", "768", "--num-gqa-groups", "3"),
            *("--qkv-multipliers", "0.5,1,0.5", "--ffn-multipliers", "0.5,3.8,0.5"),
            *("--decimals", "none", "--frame-qkv-multiplier", "1", "--frame-ffn-multiplier", "4"),
        )
        shown = json.loads(run("show", "-", "--format", "json", stdin=made.out).out)
        crown = json.loads(run("show", "lws-18l-crown", "--format", "json").out)
        # The vocabularies differ, and so the running total of weights, which begins with them.
        for layer in (*shown["layers"], *crown["layers"]):
            del layer["cumulative_weight_bytes"]
        assert shown["layers"] == crown["layers"]

    def test_the_file_is_written_once(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "made.yaml"
        arguments = ("scale", "--layers", "4", "--model-dim", "256", "-o", str(file))
        first = run(*arguments)
        assert (first.code, first.out) == (0, "")
        assert f"wrote {file}" in first.err
        text = file.read_text()
        again = run(*arguments)
        assert again.code == 2
        assert "--force replaces it" in again.err
        assert run(*arguments, "--model-dim", "512", "--force").code == 0
        assert file.read_text() != text
        assert list(tmp_path.iterdir()) == [file]

    def test_a_place_that_cannot_be_written(self, run: Run, tmp_path: Path) -> None:
        done = run("scale", "--layers", "4", "--model-dim", "256", "-o", str(tmp_path / "a/b.yaml"))
        assert done.code == 2
        assert "cannot be written: No such file or directory" in done.err

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--layers", "0"], "--layers: num_transformer_layers is 0, but must be at least 1"),
            (["--head-dim", "63"], "--head-dim: head_dim is 63, but must be even"),
            (["--queries-per-kv-head", "0"], "--queries-per-kv-head: num_gqa_groups is 0"),
            (["--ffn-multipliers", "1,-2"], "--ffn-multipliers: layer 1: ffn_multipliers is -2.0"),
            (["--ffn-multipliers", "nan"], "must be finite"),
            (["--ffn-multipliers", "a"], "'a' is not a list of numbers"),
            (["--qkv-multipliers", "1,2,3,4,5,6,7"], "7 entries for 8 layers"),
            (["--decimals", "x"], "neither a whole number nor none"),
            (["--decimals", "99"], "--decimals: schedule.decimals is 99"),
            (["--model-dmi", "3"], "No such option"),
        ],
    )
    def test_wrong_flags(self, run: Run, flags: list[str], message: str) -> None:
        done = run("scale", "--layers", "8", "--model-dim", "256", *flags)
        assert (done.code, done.out) == (2, "")
        assert message in done.err


class TestShow:
    def test_the_table_of_270m(self, run: Run) -> None:
        done = run("show", "openelm-270m")
        assert done.code == 0
        first = next(line for line in done.out.splitlines() if line.startswith("    0 "))
        assert first.split()[:4] == ["0", "12", "3", "768"]
        assert "271,527,168" in done.out
        assert all(len(line) <= 100 for line in done.out.splitlines())

    def test_json_has_the_promised_keys(self, run: Run) -> None:
        result = json.loads(run("show", "openelm-270m", "--format", "json").out)
        assert list(result) == ["version", "config", "layers", "cost", "recipe"]
        layer = {"index", "num_query_heads", "num_kv_heads", "qkv_multiplier", "ffn_multiplier"}
        assert layer | {"ffn_dim", "parameters"} <= result["layers"][0].keys()
        parts = {"total", "embedding", "non_embedding", "attention", "ffn", "norm"}
        assert result["cost"]["parameters"].keys() == parts
        assert {"kv_cache_bytes_per_token", "flops_per_token", "weight_bytes"} <= (
            result["cost"].keys()
        )
        assert [x["ffn_dim"] for x in result["layers"]] == oracles.FFN_WIDTHS_270M

    def test_without_a_config_it_lists_the_shipped_ones(self, run: Run) -> None:
        assert "openelm-1_1b" in run("show").out.splitlines()

    def test_a_model_folder_stands_for_its_config(self, run: Run, tmp_path: Path) -> None:
        from elmcfg.formats import hub

        (tmp_path / "config.json").write_text(hub.dump(load("tiny")))
        assert run("show", str(tmp_path)).code == 0

    def test_a_broken_config_is_refused_with_its_findings(self, run: Run, broken: Path) -> None:
        done = run("show", str(broken))
        assert (done.code, done.out) == (1, "")
        assert "error[ELM203]" in done.err

    def test_a_wrong_name(self, run: Run) -> None:
        done = run("show", "openelm-270")
        assert done.code == 2
        assert "did you mean openelm-270m?" in done.err


class TestBuildAndRun:
    def test_the_tiny_model_is_proven(self, run: Run) -> None:
        done = run("build-and-run", "tiny")
        assert done.code == 0
        assert "proven: 845,184 parameters" in done.out
        assert "elmcfg: forward" in done.err
        assert run("build-and-run", "tiny", "--quiet").err == ""

    def test_json_has_the_promised_keys(self, run: Run) -> None:
        done = run("build-and-run", "openelm-3b", "--shapes-only", "--format", "json")
        assert done.code == 0
        result = json.loads(done.out)
        assert list(result) == [
            *("version", "config", "passed", "device", "dtype", "parameters", "checks"),
            *("peak_memory_bytes", "seconds", "estimated_memory_bytes", "plan"),
            *("shapes_only", "weights"),
        ]
        assert result["passed"] is True
        assert result["parameters"] == {"predicted": 3_036_647_424, "counted": 3_036_647_424}
        for check in result["checks"]:
            assert list(check) == ["name", "status", "detail", "seconds"]
        statuses = {check["name"]: check["status"] for check in result["checks"]}
        assert statuses["shapes"] == "passed"
        assert statuses["forward"] == "skipped"

    def test_a_model_that_does_not_fit_is_refused(self, run: Run) -> None:
        recipe = ("scale", "--layers", "96", "--model-dim", "65536")
        done = run("build-and-run", "-", stdin=run(*recipe).out)
        assert (done.code, done.out) == (1, "")
        assert "--shapes-only" in done.err

    def test_the_checks_are_listed(self, run: Run) -> None:
        done = run("build-and-run", "--list-checks")
        assert done.code == 0
        names = [line.split()[0] for line in done.out.splitlines()[::2]]
        assert all("tolerance: " in line for line in done.out.splitlines()[1::2])
        assert names[:2] == ["parameters", "shapes"]
        assert {"forward", "reference", "cache", "gradient"} < set(names)

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--check", "shape"], "did you mean 'shapes'?"),
            (["--seq-len", "100000"], "max_context_length (256)"),
            (["--batch-size", "0"], "0 is not in the range"),
            (["--dtype", "int8"], "'int8' is not one of"),
        ],
    )
    def test_wrong_flags(self, run: Run, flags: list[str], message: str) -> None:
        done = run("build-and-run", "tiny", *flags)
        assert (done.code, done.out) == (2, "")
        assert message in done.err

    def test_a_broken_config_is_refused_before_anything_is_built(
        self, run: Run, broken: Path
    ) -> None:
        done = run("build-and-run", str(broken))
        assert (done.code, done.out) == (1, "")
        assert "error[ELM203]" in done.err


class TestAround:
    def test_explain(self, run: Run) -> None:
        assert "SIGFPE" in run("explain", "elm202").out
        assert len(run("explain").out.splitlines()) > 10
        assert run("explain", "ELM999").code == 2

    def test_a_misspelt_command(self, run: Run) -> None:
        done = run("valdate")
        assert done.code == 2
        assert "validate" in done.err.splitlines()[-1]

    @pytest.mark.parametrize("name", ["validate", "scale", "build-and-run", "show", "explain"])
    def test_help_has_examples(self, run: Run, name: str) -> None:
        done = run(name, "--help")
        assert done.code == 0
        lines = [line.strip() for line in done.out.splitlines()]
        assert "Examples:" in lines
        assert f"elmcfg {name}" in lines[lines.index("Examples:") + 1]

    def test_colour_is_decided_by_the_environment(
        self, run: Run, broken: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "\x1b[" not in run("validate", str(broken)).out
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert "\x1b[1;31m" in run("validate", str(broken)).out
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[" not in run("validate", str(broken)).out

    def test_an_interrupted_command_exits_130(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(source: str) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("elmcfg.cli.show.document_argument", interrupt)
        assert run("show", "tiny").code == 130

    def test_python_dash_m_and_a_reader_that_goes_away(self) -> None:
        program = f"{sys.executable} -m elmcfg show openelm-3b | head -n 1"
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
        assert done.stdout.startswith("openelm-3b: 36 layers")
        assert done.stderr == ""


INTERRUPTED = """
from importlib import import_module

import click

module = import_module("elmcfg.cli.main")

def interrupted(**_):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        raise click.exceptions.Abort from None

module.cli.main = interrupted
module.main()
"""


def test_ctrl_c_while_a_dataclass_is_made_exits_with_130(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    path = os.pathsep.join([str(tmp_path), str(Path(elmcfg.__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 130
