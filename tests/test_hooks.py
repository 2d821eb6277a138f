"""The hooks that pre-commit reads."""

import shlex
from pathlib import Path

import pytest
import yaml
from conftest import Run

from elmcfg.sources import shipped

HOOKS = yaml.safe_load((Path(__file__).parent.parent / ".pre-commit-hooks.yaml").read_text())


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_the_command_of_a_hook_runs(
    run: Run, hook: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = shipped()["tiny"].read_text()
    (tmp_path / "a.yaml").write_text(good)
    (tmp_path / ".pre-commit-config.yaml").write_text("repos: []\n")
    program, *arguments = shlex.split(str(hook["entry"]))
    args = hook["args"]
    assert program == "elmcfg"
    assert isinstance(args, list)
    assert hook["pass_filenames"] is False
    assert run(*arguments, *args).code == 0
    (tmp_path / "a.yaml").write_text(good.replace("head_dim: 32", "head_dim: 33"))
    assert run(*arguments, *args).code == 1
