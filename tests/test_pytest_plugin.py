"""The pytest plugin in somebody else's repository, set as docs/how-to/integrations.md says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from elmcfg.sources import shipped

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "integrations.md"
(SETTINGS,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("configs", "tests"):
        (tmp_path / name).mkdir()
    (tmp_path / "tests" / "test_own.py").write_text("def test_own(): pass\n")
    (tmp_path / "configs" / "good.yaml").write_text(shipped()["tiny"].read_text())
    broken = shipped()["tiny"].read_text().replace("head_dim: 32", "head_dim: 33")
    (tmp_path / "configs" / "broken.yaml").write_text(broken)
    return tmp_path


def run(folder: Path, settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "pyproject.toml").write_text(settings)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "elmcfg.pytest_plugin", "-v"],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_config_is_a_test(repository: Path) -> None:
    done = run(repository, SETTINGS)
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "configs/good.yaml::elmcfg PASSED" in done.stdout
    assert "error[ELM204]" in done.stdout
    assert re.search(r"--> configs/broken\.yaml:\d+:\d+", done.stdout)


def test_what_a_file_says_moves_no_cursor(repository: Path) -> None:
    text = (repository / "configs" / "good.yaml").read_text()
    # A key so near to one that a fix is offered, which names it.
    evil = text.replace("vocab_size:", r'"vocab_size\e\u202e":')
    (repository / "configs" / "good.yaml").write_text(evil)
    (repository / "configs" / "\x1b[31m\nINJECTED.yaml").write_text(evil)
    done = run(repository, SETTINGS)
    assert not re.search("(?m)^INJECTED", done.stdout)
    assert r"rename vocab_size\x1b\u202e to vocab_size" in done.stdout
    assert not {"\x1b", "\u202e"} & set(done.stdout + done.stderr)


def test_the_settings_of_validate_count(repository: Path) -> None:
    assert "3 passed" in run(repository, SETTINGS + '[tool.elmcfg]\nignore = ["ELM"]\n').stdout


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("confgs/*.yaml", "no file matches 'confgs/*.yaml'"),
        ("configs", "no file matches 'configs'"),
        ("/configs/*.yaml", "'/configs/*.yaml': "),
        ("", "'': "),
    ],
)
def test_a_pattern_without_a_file_is_no_success(
    repository: Path, pattern: str, message: str
) -> None:
    done = run(repository, SETTINGS.replace("configs/*.yaml", pattern))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"elmcfg_configs: {message}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_it_does_nothing_unasked(repository: Path) -> None:
    done = run(repository, '[tool.pytest.ini_options]\ntestpaths = ["tests", "configs"]\n')
    assert "1 passed" in done.stdout
    assert "elmcfg PASSED" not in done.stdout
