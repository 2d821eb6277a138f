"""What is installed: a wheel with variants and schemas, complete without the source tree."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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
    assert (installed / "elmcfg" / "schemas" / "variant.schema.json").is_file()
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
