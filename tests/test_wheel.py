"""What is installed: a wheel with variants and schemas, complete without the source tree."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "elmcfg").is_dir(), reason="the source tree is away: this is the wheel"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents, and nothing of the source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)),
        ],
        check=True,
        cwd=folder,
    )
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_it_holds_everything_and_nothing_else(installed: Path) -> None:
    assert (installed / "elmcfg" / "py.typed").is_file()
    variants = {path.name for path in (ROOT / "variants").iterdir()}
    assert {path.name for path in (installed / "elmcfg" / "variants").iterdir()} == variants
    for data in ("schemas", "spaces"):
        source = ROOT / data if (ROOT / data).is_dir() else ROOT / "elmcfg" / data
        names = {path.name for path in source.iterdir()}
        assert {path.name for path in (installed / "elmcfg" / data).iterdir()} == names
    assert {path.name.split("-")[0] for path in installed.iterdir()} == {"elmcfg"}


def test_it_works_away_from_the_source_tree(installed: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import elmcfg\n"
        f"assert elmcfg.__file__.startswith({str(installed)!r}), elmcfg.__file__\n"
        "from elmcfg.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "validate", "openelm-270m", "tiny"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "2 files checked: no problems\n")


def test_pytest_finds_the_plugin(installed: Path) -> None:
    (names,) = installed.glob("*.dist-info/entry_points.txt")
    assert "[pytest11]\nelmcfg = elmcfg.pytest_plugin" in names.read_text()


def test_the_sdist_holds_what_the_tests_and_hooks_need(tmp_path: Path) -> None:
    program = (
        "from hatchling.builders.sdist import SdistBuilder as B; print(*B(%r).build(directory=%r))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program % (str(ROOT), str(tmp_path))],
        check=True,
        capture_output=True,
        text=True,
    )
    with tarfile.open(done.stdout.strip()) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tests = {f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py")}
    assert names >= tests | {
        *(".pre-commit-hooks.yaml", "LICENSE", "Makefile", "README.md", "SECURITY.md"),
        *("action.yml", "constraints.txt", "pyproject.toml", "tests/editors/package.json"),
    }
