"""Which findings are wanted: flags, [tool.elmcfg], and how the two go together."""

from pathlib import Path

import pytest
from conftest import Run

from elmcfg.settings import Settings, SettingsError, load

FAULTY = """\
num_transformer_layers: 4
model_dim: 256
head_dim: 64
vocab_size: 1000
num_query_heads: [4, 4, 8, 7]
num_kv_heads: [1, 1, 2, 2]
ffn_multipliers: [1.0, 1.0, 2.0, 4.0]
rms_norm_eps: 1e-6
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.yaml").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def codes(run: Run, *flags: str) -> list[str]:
    out = run("validate", "-q", "--format", "concise", *flags, "sub/x.yaml").out
    return [line.partition("[")[2][:6] for line in out.splitlines()]


def test_select_and_ignore(run: Run, folder: Path) -> None:
    everything = codes(run)
    assert {"ELM203", "ELM103", "ELM409"} <= set(everything)
    assert codes(run, "--select", "ELM203,ELM1") == ["ELM203", "ELM103"]
    assert codes(run, "--select", "ELM1", "--select", "ELM2", "--ignore", "ELM103") == ["ELM203"]
    assert codes(run, "--ignore", "ELM4") == ["ELM203", "ELM103"]
    assert codes(run, "--ignore", "elm") == []


def test_per_file_ignores(run: Run, folder: Path) -> None:
    flags = ("--select", "ELM1,ELM2", "--per-file-ignores")
    assert codes(run, *flags, "sub/**:ELM203") == ["ELM103"]
    assert codes(run, *flags, "x.yaml:ELM203,ELM103") == []
    assert codes(run, *flags, "/x.yaml:ELM203") == ["ELM203", "ELM103"]


def test_strict_makes_warnings_errors(run: Run, folder: Path) -> None:
    note = "# elmcfg: ignore-file[ELM205] a warning of ours\n"
    (folder / "sub" / "x.yaml").write_text(note + FAULTY)
    assert run("validate", "--select", "ELM008,ELM205,ELM409", "sub").code == 0
    done = run("validate", "--select", "ELM008,ELM205,ELM409", "--strict", "sub")
    assert done.code == 1
    assert "error[ELM008]" in done.out
    assert "info[ELM409]" in done.out


def test_the_table_of_pyproject(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text(
        '[tool.elmcfg]\nselect = ["ELM1", "ELM2"]\nignore = ["ELM103"]\nstrict = true\n'
        '[tool.elmcfg.per-file-ignores]\n"old/**" = ["ELM2"]\n'
    )
    assert codes(run) == ["ELM203"]
    assert load(folder).strict
    assert load(folder).extended(select=["ELM1"]).strict
    assert codes(run, "--select", "ELM409") == ["ELM409"]
    assert codes(run, "--ignore", "ELM203") == []
    (folder / "old").mkdir()
    (folder / "sub" / "x.yaml").rename(folder / "old" / "x.yaml")
    monkeypatch.chdir(folder / "old")
    assert run("validate", "x.yaml").code == 0


def test_targets_of_pyproject(run: Run, folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.elmcfg]\ntargets = ["mlx-swift"]\n')
    done = run("validate", "--format", "concise", "lws-18l-crown")
    assert "mlx-swift" in done.out
    (folder / "pyproject.toml").write_text('[tool.elmcfg]\ntargets = ["mlx-swif"]\n')
    done = run("validate", "lws-18l-crown")
    assert (done.code, "did you mean mlx-swift?" in done.err) == (2, True)


def test_the_nearest_table_holds(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.elmcfg]\nignore = ["ELM1"]\n')
    inner = folder / "sub" / "pyproject.toml"
    inner.write_text('[project]\nname = "elmcfg-user"\n')
    assert load(folder / "sub").ignore == ("ELM1",)
    inner.write_text("[tool]\nelmcfg = {strict = true}\n")
    assert load(folder / "sub") == Settings(strict=True)


def test_without_a_table_everything_is_reported(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.other]\nx = "elmcfg"\n')
    assert load(folder) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[tool.elmcfg]\nselct = []\n",
            ":2: [tool.elmcfg] selct: unknown key; did you mean",
        ),
        ('[tool.elmcfg]\nselect = ["ELM9"]\n', ":2: [tool.elmcfg] select: 'ELM9' is not a code"),
        ('[tool.elmcfg]\n\nignore = "ELM4"\n', ":3: [tool.elmcfg] ignore: 'ELM4' is not a list"),
        ("[tool.elmcfg]\nstrict = 1\n", "strict: 1 is neither true nor false"),
        ("[tool.elmcfg]\nper-file-ignores = []\n", "per-file-ignores: not a table"),
        ('[tool.elmcfg.per-file-ignores]\n"a" = ["X"]\n', "a: 'X' is not a code"),
        ('[tool.elmcfg.per-file-ignores]\n"!" = ["ELM4"]\n', "'!' is not a pattern"),
        ("[tool.elmcfg\n", "not valid TOML"),
        ("[tool]\nelmcfg = 3\n", "is not a table"),
        ("# tool.elmcfg\n\xff", None),
        ("[tool.elmcfg]\nx = " + "[" * 5000, "pyproject.toml"),
    ],
)
def test_wrong_settings_are_a_call_gone_wrong(
    run: Run, folder: Path, text: str, message: str | None
) -> None:
    (folder / "pyproject.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError):
        load(folder)
    done = run("validate", "sub")
    assert (done.code, done.out) == (2, "")
    assert (message or "not valid TOML") in done.err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--select", "ELM"),
        ("--ignore", "E2"),
        ("--per-file-ignores", "x"),
        ("--per-file-ignores", "!:ELM4"),
        ("--select", "ELM77"),
    ],
)
def test_wrong_flags(run: Run, folder: Path, flag: str, value: str) -> None:
    done = run("validate", flag, value, "sub/x.yaml")
    assert done.code == (1 if value == "ELM" else 2)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["*a" * 9], "has more than 8 times * or 3 times **"),
        ([f"a{i}" for i in range(1_001)], "1,001 patterns are too many: at most 1,000"),
    ],
)
def test_patterns_that_would_take_long_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f'"{pattern}" = ["ELM4"]\n' for pattern in patterns)
    Path("pyproject.toml").write_text(f"[tool.elmcfg.per-file-ignores]\n{rows}")
    done = run("validate", "tiny")
    assert done.code == 2
    assert message in done.err


def test_eight_stars_take_no_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried one after another, the ways to cut this name are more than 10**12."""
    monkeypatch.chdir(tmp_path)
    name = "a" * 240 + ".yaml"
    Path(name).write_text("num_transformer_layers: 2\n")
    assert run("validate", "--per-file-ignores", "*a" * 8 + "b:ELM", name).code == 1
