"""The hooks: what pre-commit reads, and what it does with them in somebody's repository."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from conftest import Run

from elmcfg.sources import shipped

ROOT = Path(__file__).parent.parent
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


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


PARTS = ("elmcfg", "schemas", "variants", "pyproject.toml", "README.md", "LICENSE")


@pytest.mark.skipif(not (ROOT / "elmcfg").is_dir(), reason="the source tree is away")
def test_pre_commit_installs_and_runs_them(tmp_path: Path) -> None:
    pytest.importorskip("pre_commit")
    # Nothing is fetched: pre-commit installs elmcfg alone, and finds the rest where we have it.
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HOME": str(tmp_path),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }

    def call(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    def commit(folder: Path) -> str:
        name = ("-c", "user.name=n", "-c", "user.email=n@example.invalid")
        for step in (("init", "-q"), ("add", "-A"), (*name, "commit", "-qm", "x")):
            done = call("git", *step, folder=folder)
            assert done.returncode == 0, done.stderr
        return call("git", "rev-parse", "HEAD", folder=folder).stdout.strip()

    theirs, mine = tmp_path / "elmcfg", tmp_path / "mine"
    theirs.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", theirs)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, theirs / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, theirs)
    revision = commit(theirs)
    mine.mkdir()
    good = shipped()["tiny"].read_text()
    (mine / "a.yaml").write_text(good)
    wanted = [{"id": "elmcfg-validate"}, {"id": "elmcfg-fix"}]
    repository = {"repo": str(theirs), "rev": revision, "hooks": wanted}
    (mine / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [repository]}))
    commit(mine)

    def hook(name: str) -> subprocess.CompletedProcess[str]:
        return call(sys.executable, "-m", "pre_commit", "run", name, "--all-files", folder=mine)

    done = hook("elmcfg-validate")
    assert done.returncode == 0, done.stdout + done.stderr
    (mine / "a.yaml").write_text(good.replace("head_dim: 32", "head_dim: '32'"))
    broken = hook("elmcfg-validate")
    assert broken.returncode == 1
    assert "error[ELM103]" in broken.stdout
    assert hook("elmcfg-fix").returncode == 1  # as pre-commit says that files were changed
    assert yaml.safe_load((mine / "a.yaml").read_text()) == yaml.safe_load(good)
    assert hook("elmcfg-validate").returncode == 0
