"""The GitHub action and the examples of docs/how-to/integrations.md: their steps are run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from elmcfg.sources import shipped

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PAGE = (ROOT / "docs" / "how-to" / "integrations.md").read_text()
EXAMPLES = {
    name: yaml.safe_load(text)
    for name, text in re.findall(r"```yaml\n# (\S+\.yml)\n(.*?)```", PAGE, re.DOTALL)
}


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step as the runners do, with an ``elmcfg`` on the path."""
    program = folder / "elmcfg" / "bin" / "elmcfg"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m elmcfg "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "RUNNER_TEMP": str(folder), "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    text = shipped()["tiny"].read_text()
    (tmp_path / "configs" / "good.yaml").write_text(text)
    (tmp_path / "configs" / "broken.yaml").write_text(text.replace("head_dim: 32", "head_dim: 33"))
    return tmp_path


def action(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    given = {name: spec["default"] for name, spec in ACTION["inputs"].items()} | inputs
    step: dict[str, Any] = ACTION["runs"]["steps"][-1]
    environment = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: given[m[1]], value)
        for name, value in step["env"].items()
    }
    return bash(step["run"], folder, **environment)


def test_the_action_annotates_and_fails(folder: Path) -> None:
    done = action(folder)
    assert done.returncode == 1
    assert re.match(r"::error title=ELM204.*,file=configs/broken\.yaml,line=\d+,", done.stdout)


def test_the_action_passes_what_is_good_and_its_arguments(folder: Path) -> None:
    done = action(folder, paths="configs/good.yaml", args="--target llama.cpp --strict")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_writes_sarif(folder: Path) -> None:
    assert action(folder, sarif="out.sarif").returncode == 1
    (found,) = json.loads((folder / "out.sarif").read_text())["runs"]
    assert {result["ruleId"] for result in found["results"]} >= {"ELM204"}


def test_inputs_are_never_commands(folder: Path) -> None:
    done = action(folder, paths="$(touch pwned); touch pwned")
    assert done.returncode == 2
    assert not (folder / "pwned").exists()
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_the_action_installs_with_nothing_of_the_repository(folder: Path) -> None:
    pwned = folder / "pwned"
    for name in ("venv", "ensurepip", "pip"):
        (folder / f"{name}.py").write_text(f"open({str(pwned)!r}, 'w')\n")
    step = ACTION["runs"]["steps"][0]
    given = {"PYTHON": sys.executable, "GITHUB_ACTION_PATH": str(folder / "nowhere")}
    environment = given | {"RUNNER_TEMP": str(folder / "temp")}
    assert step["env"].keys() <= environment.keys()
    done = bash(step["run"], folder, **environment)
    assert "nowhere" in done.stderr  # which pip itself misses
    assert not pwned.exists()


def test_examples_name_inputs_that_there_are() -> None:
    uses = [
        step["with"]
        for example in EXAMPLES.values()
        for job in example.get("jobs", {}).values()
        for step in job["steps"]
        if step.get("uses", "").startswith("OWNER/elmcfg@")
    ]
    assert len(uses) == 2
    for given in uses:
        assert given.keys() <= ACTION["inputs"].keys()


def test_gitlab(folder: Path) -> None:
    job = EXAMPLES[".gitlab-ci.yml"]["configs"]
    (script,) = job["script"]
    assert bash(script, folder).returncode == 1
    report = json.loads((folder / job["artifacts"]["reports"]["codequality"]).read_text())
    assert {finding["check_name"] for finding in report} >= {"ELM204"}
