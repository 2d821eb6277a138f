"""``build-and-run`` as a user calls it: limits, several configs, saving, and bad input."""

from __future__ import annotations

import importlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from conftest import Run
from mlx.utils import tree_flatten

import elmcfg
from elmcfg.proof import Child

ROOT = Path(__file__).parent.parent
TINY = (ROOT / "variants/tiny.yaml").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--timeout", "0"], "'0' is not a positive time such as 90s, 10min or 1h"),
        (["--timeout", "soon"], "'soon' is not an amount such as 90s"),
        (["--max-memory", "8 parsecs"], "unknown unit 'parsecs'; use kB, MB"),
        (["--max-memory", "0"], "'0' is not a positive amount such as 8GiB or 500MB"),
        (["--seq-len", "257"], "seq_len must be 1 to max_context_length (256), got 257"),
        (["--check", "xyzzy"], "unknown check 'xyzzy'; choose from parameters"),
        (["--shapes-only", "--check", "cache"], "no check is left to run"),
        (["--device", "gpu"], "MLX sees no GPU here"),
        (["tiny", "--save", "x"], "--save takes one config"),
    ],
)
def test_wrong_calls(run: Run, flags: list[str], message: str) -> None:
    done = run("build-and-run", "tiny", *flags)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_a_proof_in_which_no_check_ran(run: Run) -> None:
    done = run("build-and-run", "tiny", "--check", "gradient", "--dtype", "bfloat16")
    assert done.code == 1
    assert "not proven, no check ran: 845,184 parameters" in done.out


def test_no_config(run: Run) -> None:
    done = run("build-and-run")
    assert done.code == 2
    assert "name at least one file, folder or shipped variant" in done.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5min", 90), ("2h", 7200), ("1d", 86_400)]
)
def test_times(text: str, seconds: float) -> None:
    from elmcfg.cli.parameters import TIME

    assert TIME.convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("1024", 1024), ("8GiB", 8 * 2**30), ("500 MB", 500 * 10**6), ("1.5g", 1_500_000_000)],
)
def test_sizes(text: str, count: float) -> None:
    from elmcfg.cli.parameters import BYTES

    assert BYTES.convert(text, None, None) == count


def test_a_limit_that_is_too_low_is_named(run: Run) -> None:
    done = run("build-and-run", "tiny", "--max-memory", "50MiB")
    assert (done.code, done.out) == (1, "")
    assert "the limit is 50 MiB" in done.err


# The process takes 200 MiB of the limit; tiny then needs 7.6 MiB in float32 and 4.3 in bfloat16.
SHORT = ["--max-memory", "206MiB", "--device", "cpu"]


def test_a_plan_that_fits_is_chosen_and_said(run: Run) -> None:
    done = run("build-and-run", "tiny", *SHORT)
    assert done.code == 0
    why = "in float32 these checks need about 207.6 MiB, there are 206 MiB"
    assert f"elmcfg: proving in bfloat16: {why}" in done.err
    assert f"bfloat16 ({why})" in done.out.splitlines()[-1]
    done = run("build-and-run", "tiny", *SHORT, "--format", "json")
    result = json.loads(done.out)
    assert (result["dtype"], result["plan"]["asked"]) == ("bfloat16", "auto")
    assert result["plan"]["reason"] == why
    row = run("build-and-run", "tiny", "tiny", *SHORT, "-q").out.splitlines()[0]
    assert row.endswith(f"bfloat16, since {why}")


def test_a_dtype_that_was_asked_for_is_kept(run: Run) -> None:
    """Less is proven then: the logits of all tokens, in pieces, are what does not fit."""
    limit = ["--max-memory", "207.5MiB", "--device", "cpu", "--dtype", "float32"]
    done = run("build-and-run", "tiny", *limit)
    assert (done.code, ", float32, " in done.out.splitlines()[-1]) == (0, True)
    (left_out,) = [line for line in done.out.splitlines() if line.startswith("skipped")]
    assert left_out.split(maxsplit=2)[1:] == [
        "cache",
        "needs about 207.6 MiB, there are 207.5 MiB",
    ]
    row = run("build-and-run", "tiny", "tiny", *limit, "-q").out.splitlines()[0]
    assert row.endswith("cache needs about 207.6 MiB, there are 207.5 MiB")


def test_the_folder_has_the_dtype_that_was_proven(run: Run, tmp_path: Path) -> None:
    done = run("build-and-run", "tiny", *SHORT, "--save", str(tmp_path / "m"))
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "m/config.json").read_text())["torch_dtype"] == "bfloat16"
    assert (tmp_path / "m/model.safetensors").stat().st_size < 2.1 * 845_184


def test_a_timeout_is_a_failed_check(run: Run) -> None:
    done = run("build-and-run", "tiny", "--timeout", "0.01", "--format", "json")
    assert done.code == 1
    result = json.loads(done.out)
    assert result["passed"] is False
    assert result["checks"][0]["status"] == "failed"
    assert "did not finish within 0.01 s" in result["checks"][0]["detail"]
    assert result["parameters"] == {"predicted": 845_184, "counted": None}


class TestMany:
    @pytest.fixture
    def variants(self, tmp_path: Path) -> Path:
        (tmp_path / "a.yaml").write_text(TINY)
        (tmp_path / "b.yaml").write_text(TINY.replace("model_dim: 128", "model_dim: 192"))
        (tmp_path / "notes.yaml").write_text("nothing: here\n")
        return tmp_path

    def test_one_row_each(self, run: Run, variants: Path) -> None:
        done = run("build-and-run", str(variants))
        assert done.code == 0, done.err
        first, second, last = done.out.splitlines()
        assert first.split()[:4] == ["proven", str(variants / "a.yaml"), "845,184", "parameters"]
        assert str(variants / "b.yaml") in second
        assert last == "2 of 2 proven"
        assert f"elmcfg: {variants / 'a.yaml'}: proven" in done.err

    def test_a_bad_one_fails_the_call_and_not_the_others(self, run: Run, variants: Path) -> None:
        (variants / "c.yaml").write_text(TINY.replace("head_dim: 32", "head_dim: 31"))
        done = run("build-and-run", str(variants), "tiny", "-q")
        assert done.code == 1
        assert "error[ELM204]" in done.err
        assert [line.split()[0] for line in done.out.splitlines()] == [
            *("proven", "proven", "invalid", "proven"),
            "3",
        ]

    def test_json(self, run: Run, variants: Path) -> None:
        (variants / "c.yaml").write_text(TINY.replace("head_dim: 32", "head_dim: 31"))
        done = run("build-and-run", str(variants), "--shapes-only", "--format", "json")
        assert done.code == 1
        result = json.loads(done.out)
        assert list(result) == ["version", "results"]
        keys = ["config", "passed", "device", "dtype", "parameters", "checks"]
        keys += [
            "peak_memory_bytes",
            "seconds",
            "estimated_memory_bytes",
            "plan",
            "shapes_only",
            "weights",
        ]
        for each in result["results"]:
            assert list(each) == ["path", *keys, "error"]
        assert [each["passed"] for each in result["results"]] == [True, True, False]
        assert result["results"][2]["error"] == "not a valid config"

    def test_a_model_folder_is_one_config(self, run: Run, tmp_path: Path) -> None:
        assert run("build-and-run", "tiny", "-q", "--save", str(tmp_path / "m")).code == 0
        assert run("build-and-run", str(tmp_path / "m"), "-q").out.count("passed") == 13

    def test_an_empty_folder(self, run: Run, tmp_path: Path) -> None:
        done = run("build-and-run", str(tmp_path))
        assert done.code == 2
        assert "no configs in this folder" in done.err


class TestSave:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_mlx_lm_loads_the_folder(self, run: Run, tmp_path: Path, dtype: str) -> None:
        place = tmp_path / "model"
        done = run("build-and-run", "tiny", "--save", str(place), "--dtype", dtype, "--seed", "3")
        assert done.code == 0, done.err
        assert f"elmcfg: wrote {place}" in done.err
        assert sorted(file.name for file in place.iterdir()) == [
            *("README.md", "config.json", "generation_config.json", "model.safetensors")
        ]
        assert [file.name for file in tmp_path.iterdir()] == ["model"]
        config = json.loads((place / "config.json").read_text())
        assert config["torch_dtype"] == dtype

        import elmcfg

        mx: Any = importlib.import_module("mlx.core")
        load_model = importlib.import_module("mlx_lm.utils").load_model
        theirs, _ = load_model(place)
        tokens = mx.array([[5, 6, 7]])
        ours = elmcfg.build(elmcfg.load("tiny"), dtype=dtype, seed=3)
        assert mx.array_equal(theirs(tokens), ours(tokens)).item()

    def test_it_is_the_folder_that_convert_writes(self, run: Run, tmp_path: Path) -> None:
        tokenizer = tmp_path / "tokenizer.model"
        tokenizer.write_bytes(b"\x0a\x05\x0a\x03<s>")
        given = ["--dtype", "float32", "--tokenizer", str(tokenizer)]
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        proven, converted = tmp_path / "a" / "m", tmp_path / "b" / "m"
        assert run("build-and-run", "tiny", "--save", str(proven), *given).code == 0
        assert run("convert", "tiny", str(converted), *given).code == 0
        names = [file.name for file in sorted(proven.iterdir())]
        assert names == [file.name for file in sorted(converted.iterdir())]
        assert {"tokenizer.model", "tokenizer_config.json"} <= set(names)
        for name in names:
            assert (proven / name).read_bytes() == (converted / name).read_bytes(), name

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_what_is_large_comes_in_shards_that_mlx_lm_loads(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from elmcfg.formats import safetensors
        from elmcfg.proof.saving import write_folder

        utils = pytest.importorskip("mlx_lm.utils")
        # In this process, where the limit can be lowered.
        monkeypatch.setattr(Child, "save", lambda _, *job, timeout: write_folder(*job))
        monkeypatch.setattr(safetensors, "SHARD_BYTES", 500_000)
        place = tmp_path / "m"
        given = ("--dtype", "float32", "--seed", "3")
        done = run("build-and-run", "tiny", "--shapes-only", "--save", str(place), *given)
        assert done.code == 0, done.err
        shards = sorted(file.name for file in place.glob("*.safetensors"))
        assert len(shards) > 2
        index = json.loads((place / "model.safetensors.index.json").read_text())
        assert sorted(set(index["weight_map"].values())) == shards
        model, _ = utils.load_model(place)
        loaded = dict(tree_flatten(model.parameters()))
        expected: Any = elmcfg.build(elmcfg.load("tiny"), seed=3)
        built = dict(tree_flatten(expected.parameters()))
        assert loaded.keys() == built.keys()
        assert all(mx.array_equal(loaded[name], built[name]) for name in built)

    def test_who_would_read_another_model_is_said(self, run: Run, tmp_path: Path) -> None:
        done = run("build-and-run", "lws-18l-crown", "--shapes-only", "--save", str(tmp_path / "m"))
        assert "warning: hf" in done.err

    def test_a_tokenizer_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        save = ["--save", str(tmp_path / "m"), "--tokenizer", str(tmp_path / "x")]
        done = run("build-and-run", "tiny", *save)
        assert (done.code, "no such tokenizer" in done.err) == (1, True)
        assert list(tmp_path.iterdir()) == []
        assert run("build-and-run", "tiny", *save[2:]).code == 2

    def test_the_card_has_a_row_per_layer(self, run: Run, tmp_path: Path) -> None:
        run("build-and-run", "tiny", "--save", str(tmp_path / "m"), "-q")
        card = (tmp_path / "m" / "README.md").read_text()
        assert "| 3 | 8 | 4 | 512 | 295,232 | 512 |" in card
        assert "Random weights" in card

    def test_what_is_there_stays(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("precious")
        for place in (tmp_path, tmp_path / "mine"):
            done = run("build-and-run", "tiny", "--save", str(place))
            assert (done.code, done.out) == (1, "")
            assert f"{place}: is there already; name a new folder" in done.err
        assert [file.name for file in tmp_path.iterdir()] == ["mine"]

    def test_no_parent_folder(self, run: Run, tmp_path: Path) -> None:
        done = run("build-and-run", "tiny", "--save", str(tmp_path / "a" / "b"))
        assert done.code == 1
        assert f"there is no folder {tmp_path / 'a'}" in done.err

    def test_a_full_disk_is_noticed_before(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        done = run("build-and-run", "tiny", "--save", str(tmp_path / "m"))
        assert done.code == 1
        assert "needs 3,380,736 bytes of disk, free are 1,000" in done.err
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_fills_up_on_the_way_leaves_nothing(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(
            child: Child, config: object, options: object, place: Path, *_: Any, **__: Any
        ) -> None:
            (place / "model.safetensors").write_text("half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Child, "save", full)
        done = run("build-and-run", "tiny", "--save", str(tmp_path / "m"))
        assert done.code == 1
        assert "cannot be written: No space left on device" in done.err
        assert list(tmp_path.iterdir()) == []

    def test_a_model_that_failed_is_not_written(self, run: Run, tmp_path: Path) -> None:
        place = str(tmp_path / "m")
        done = run("build-and-run", "tiny", "--save", place, "--timeout", "0.01")
        assert done.code == 1
        assert list(tmp_path.iterdir()) == []


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "elmcfg", "build-and-run", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        **options,
    )


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("count", [1, 3])
def test_ctrl_c_ends_the_child_too(tmp_path: Path, count: int, number: signal.Signals) -> None:
    save = ["--save", str(tmp_path / "m")] if count == 1 else []
    process = start(*["openelm-270m"] * count, *save, stderr=subprocess.PIPE)
    began = time.monotonic()
    while not (born := children_of(process.pid)) and time.monotonic() < began + 20:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert b"Traceback" not in said
    assert born
    assert not [pid for pid in born if Path(f"/proc/{pid}").exists()]
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_sees_a_live_line_that_is_wiped_away() -> None:
    terminal, side = pty.openpty()
    process = start("tiny", stdout=subprocess.PIPE, stderr=side)
    os.close(side)
    out, _ = process.communicate(timeout=60)
    seen = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(terminal)
    assert out.decode().count("passed") == 13
    assert "forward" in seen.decode()
    assert b"\n" not in seen
    assert seen.endswith(b"\x1b[G\x1b[K")
