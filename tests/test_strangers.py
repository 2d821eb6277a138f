"""Commands in a stranger's folder run none of the Python files and libraries that lie in it."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from elmcfg import backend
from elmcfg.children import command_of
from elmcfg.sources import shipped

ROOT = Path(__file__).parent.parent
SCRIPT = Path(sysconfig.get_path("scripts")) / "elmcfg"
# What the command line, its children and their libraries import, and more.
MODULES = {*sys.stdlib_module_names, "click", "mlx", "numpy", "pathspec", "pydantic", "yaml"}
PLAN = """\
variants: [tiny]
measure: [speed]
"""


def stranger(folder: Path, modules: set[str]) -> Path:
    """A folder with a config, and files that tell on whoever runs them."""
    here = folder / "here"
    here.mkdir()
    for name in modules:
        code = f"open({str(folder / 'PWNED')!r}, 'a').write({name + ' '!r})\n"
        if name in ("click", "elmcfg", "mlx", "numpy"):
            (here / name).mkdir()
            (here / name / "__init__.py").write_text(code)
        else:
            (here / f"{name}.py").write_text(code)
    (here / "config.yaml").write_text(shipped()["tiny"].read_text())
    (here / "plan.yaml").write_text(PLAN)
    # matplotlib reads this one, which may have LaTeX draw the text: a program, with a stranger's
    # preamble.
    (here / "matplotlibrc").write_text("text.usetex: true\nfont.size: 31\n")
    library = here / "cmeel.prefix" / "lib" / "libopenblas.so"
    library.parent.mkdir(parents=True)
    library.write_text("no library")
    return here


def call(program: list[str], *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [*program, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    pwned = folder.parent / "PWNED"
    assert not pwned.exists(), pwned.read_text()
    return done


COMMANDS = (
    ("--help",),
    ("validate", "."),
    ("show", "config.yaml"),
    ("show", "config.yaml", "--plot", "../picture.svg"),
    ("scale", "--max-params", "1B", "-q"),
    ("build-and-run", "config.yaml", "--shapes-only"),
    ("build-and-run", "config.yaml", "config.yaml", "--shapes-only"),
    ("convert", "config.yaml", "out"),
    ("study", "plan.yaml", "-o", "out"),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_python_file_of_the_working_directory_is_run(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = call([str(SCRIPT)], *arguments, folder=stranger(tmp_path, MODULES | {"elmcfg"}))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def of_python(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What Python itself imports from the working directory before a module that -m names."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "probe.py").write_text("import sys\nprint(*sys.modules)\n")
    return {
        name.split(".")[0]
        for name in call([sys.executable, "-m", "probe"], folder=folder).stdout.split()
    }


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nor_by_the_name_of_the_module(
    tmp_path: Path, arguments: tuple[str, ...], of_python: set[str]
) -> None:
    assert not of_python & {"json", "typing", "click", "numpy", "yaml"}
    folder = stranger(tmp_path, MODULES - of_python)
    done = call([sys.executable, "-m", "elmcfg"], *arguments, folder=folder)
    assert done.returncode == 0, done.stderr


def test_processes_that_share_the_checking_run_none_either(tmp_path: Path) -> None:
    """Other systems, and later versions of Python, start these anew instead of forking."""
    folder = stranger(tmp_path, MODULES | {"elmcfg"})
    for number in range(20):
        (folder / f"{number}.yaml").write_text((folder / "config.yaml").read_text())
    program = tmp_path / "elsewhere" / "program.py"
    program.parent.mkdir()
    program.write_text(
        "import multiprocessing\n"
        "from elmcfg import checking\n"
        "from elmcfg.cli import main\n"
        "if __name__ == '__main__':\n"
        "    checking.cores, checking._MANY, checking._CHUNK = lambda: 2, 1, 4\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    main()\n"
    )
    done = call([sys.executable, str(program)], "validate", ".", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "21 files checked" in done.stdout


def test_a_folder_of_packages_goes_with_elmcfg_into_its_children(tmp_path: Path) -> None:
    """One that ``pip install --target`` made: what it holds is not before Python's own library."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "elmcfg").symlink_to(ROOT / "elmcfg")
    (packages / "json.py").write_text("raise SystemExit('json.py was run')\n")
    (packages / "only_there.py").write_text("import elmcfg, json\nprint(elmcfg.__file__)\n")
    python, flag, _, module = command_of("only_there")
    start = packages / "elmcfg" / "children" / "start.py"
    done = call([python, flag, str(start)], module, folder=packages)
    assert done.stdout.strip() == str(packages / "elmcfg" / "__init__.py"), done.stderr


def test_settings_of_matplotlib_in_the_working_directory_do_not_count(tmp_path: Path) -> None:
    here = stranger(tmp_path, set())
    (tmp_path / "other").mkdir()
    pictures = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for folder, picture in zip([here, tmp_path / "other"], pictures, strict=True):
        done = call([str(SCRIPT)], "show", "tiny", "--plot", str(picture), folder=folder)
        assert done.returncode == 0, done.stderr
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_the_openblas_is_found_by_its_own_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(folder: Path) -> Path:
        library = folder / "cmeel.prefix/lib/libopenblas.so"
        library.parent.mkdir(parents=True)
        library.write_text("")
        record = folder / "cmeel_openblas-9.dist-info"
        record.mkdir()
        (record / "METADATA").write_text("Name: cmeel-openblas\nVersion: 9\n")
        (record / "RECORD").write_text("cmeel.prefix/lib/libopenblas.so,,\n../../evil.so,,\n")
        return library

    here, site = tmp_path / "here", tmp_path / "site"
    install(here)
    library = install(site)
    loose = tmp_path / "loose" / "cmeel.prefix" / "lib" / "libopenblas.so"
    loose.parent.mkdir(parents=True)
    loose.write_text("")
    monkeypatch.chdir(here)
    loaded: list[Path] = []

    def load(path: Path, reason: str) -> backend.Blas:
        loaded.append(path)
        return backend.Blas(None, None, reason)

    monkeypatch.setattr(backend, "_load", load)
    for path in (["", site], [".", site], [here, site], [tmp_path / "here/../here", site]):
        monkeypatch.setattr(sys, "path", [str(tmp_path / "loose"), *map(str, path)])
        assert backend._load_packaged().reason == "packaged"
    assert loaded == [library] * 4
    monkeypatch.setattr(sys, "path", ["", str(here), str(tmp_path / "loose")])
    assert backend._load_packaged().reason == "cmeel-openblas is not installed"
