"""The backend, each case in a process of its own: what is loaded first decides."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from elmcfg import backend

ROOT = Path(__file__).parent.parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="OpenBLAS is for Linux")

LOGITS = """
import elmcfg.backend
from elmcfg.config import Config
config = Config(
    num_transformer_layers=2, model_dim=256, head_dim=32, vocab_size=300, num_gqa_groups=2,
    qkv_multipliers=(0.5, 1.0), ffn_multipliers=(0.5, 4.0),
)
from elmcfg.model.build import build
import mlx.core as mx
logits = build(config, seed=7)(mx.array([list(range(40))]))
print(" ".join(f"{value:.9g}" for value in logits.reshape(-1)[::37].tolist()))
print(elmcfg.backend.load_blas().name)
import time
a = mx.random.normal((768, 768))
def seconds():
    began = time.perf_counter()
    mx.eval(a @ a)
    return time.perf_counter() - began
print(min(seconds() for _ in range(4)))
"""

WITHOUT = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == {blocked!r}:
            raise {error}
sys.meta_path.insert(0, Blocker())
import platform
platform.system = lambda: {system!r}
platform.machine = lambda: {machine!r}
from elmcfg.backend import BackendError, MissingBackendError, import_mlx
try:
    import_mlx()
except MissingBackendError as error:
    assert isinstance(error, (BackendError, ImportError))
    print(error)
"""


def run(code: str, openblas: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "ELMCFG_OPENBLAS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    if openblas is not None:
        environment["ELMCFG_OPENBLAS"] = openblas
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def output(code: str, openblas: str | None = None) -> str:
    done = run(code, openblas)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@linux
def test_openblas_changes_the_speed_and_not_the_numbers() -> None:
    fast, blas, quick = output(LOGITS).splitlines()
    slow, none, long = output(LOGITS, "off").splitlines()
    assert blas.startswith("OpenBLAS 0.")
    assert none == "None"
    values = [float(value) for value in fast.split()]
    assert len(values) > 300
    assert values == pytest.approx([float(value) for value in slow.split()], abs=1e-5)
    assert max(values) > 0.1
    # Some 50 times faster; a library that MLX does not see would be no faster at all.
    assert 4 * float(quick) < float(long)


@linux
def test_auto_is_the_default_and_a_path_names_a_library() -> None:
    show = "from elmcfg.backend import *; import_mlx(); b = load_blas(); print(b.path, b.reason)"
    path, reason = output(show).rsplit(maxsplit=1)
    assert reason == "packaged"
    for default in ("auto", "", "  "):
        assert output(show, default) == f"{path} {reason}"
    assert output(show, path) == f"{path} ELMCFG_OPENBLAS={path}"


def test_off_leaves_mlx_its_own() -> None:
    show = "from elmcfg.backend import *; import_mlx(); print(load_blas())"
    assert output(show, "off") == "Blas(name=None, path=None, reason='ELMCFG_OPENBLAS=off')"


def test_after_mlx_it_is_too_late() -> None:
    show = "import mlx.core; from elmcfg.backend import *; import_mlx(); print(load_blas().reason)"
    assert output(show) == "MLX was imported before elmcfg"


def test_building_from_the_top_loads_it_before_mlx() -> None:
    show = "import elmcfg; elmcfg.build; from elmcfg.backend import *; print(load_blas().reason)"
    assert output(show) == ("packaged" if sys.platform == "linux" else "not needed on this system")


def test_without_the_package_mlx_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    found = backend._load_packaged()
    assert found == backend.Blas(None, None, "cmeel-openblas is not installed")


def test_a_packaged_library_that_does_not_load_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "cmeel.prefix/lib/libopenblas.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"not a library")
    record = tmp_path / "cmeel_openblas-1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Name: cmeel-openblas\nVersion: 1\n")
    (record / "RECORD").write_text("cmeel.prefix/lib/libopenblas.so,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = backend._load_packaged()
    assert (found.name, found.path) == (None, None)
    assert found.reason.startswith("cmeel-openblas cannot be loaded: ")


@pytest.mark.parametrize("content", [None, b"not a library", b""])
def test_a_bad_path_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    library = tmp_path / "libfast.so"
    if content is not None:
        library.write_bytes(content)
    done = run(
        "from elmcfg.backend import *\ntry: import_mlx()\nexcept OpenBlasError as e: print(e)",
        str(library),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"ELMCFG_OPENBLAS={library}: ")
    assert ("no such file" if content is None else "cannot be loaded") in done.stdout


@linux
def test_a_library_that_is_no_openblas_goes_by_its_file_name() -> None:

    libm = next(Path("/").glob("lib/*/libm.so.6"), None)
    if libm is None:
        pytest.skip("no libm to load")
    found = backend._load(libm, "test")
    assert (found.name, found.reason) == ("libm.so.6", "test")


NOT_FOUND = "ModuleNotFoundError('No module named ' + repr(name), name=name)"
NO_LIBRARY = "ImportError('libmlx.so: cannot open shared object file: No such file')"
EXTRAS = (
    "run: pip install 'elmcfg[cpu]' (or, for an NVIDIA GPU, 'elmcfg[cuda12]' or 'elmcfg[cuda13]')"
)


@pytest.mark.parametrize(
    ("blocked", "error", "system", "machine", "message"),
    [
        ("mlx", NOT_FOUND, "Linux", "x86_64", f"MLX is not installed; {EXTRAS}"),
        (
            "mlx.core",
            NO_LIBRARY,
            "Linux",
            "aarch64",
            f"MLX is installed without a backend; {EXTRAS}",
        ),
        (
            "mlx.core",
            "ImportError('libcuda.so.1: cannot\\nopen')",
            "Linux",
            "x86_64",
            "MLX cannot be loaded: libcuda.so.1: cannot open",
        ),
        ("mlx", NOT_FOUND, "Darwin", "arm64", "MLX is not installed; run: pip install mlx"),
        (
            "mlx.core",
            "ImportError('no Metal')",
            "Darwin",
            "arm64",
            "MLX cannot be loaded: no Metal",
        ),
        (
            "mlx",
            NOT_FOUND,
            "Darwin",
            "x86_64",
            "MLX has no build for Darwin on x86_64; it runs on macOS with Apple silicon and on "
            "Linux",
        ),
    ],
)
def test_what_is_missing_is_said_with_what_to_install(
    blocked: str, error: str, system: str, machine: str, message: str
) -> None:
    code = WITHOUT.format(blocked=blocked, error=error, system=system, machine=machine)
    assert output(code, "off") == message


def test_this_platform_can_be_told_from_others() -> None:
    assert platform.system() in ("Linux", "Darwin")


@linux
def test_the_fortran_runtime_is_lent_where_the_system_has_none(tmp_path: Path) -> None:
    """Loading by the public name must find the lent copy, which no folder holds."""
    code = (
        "import ctypes\n"
        "from elmcfg import backend\n"
        "lent = backend._lend_libgfortran()\n"
        "try:\n"
        "    ctypes.CDLL('libgfortran.so.5'); found = True\n"
        "except OSError: found = False\n"
        "print(lent, found)"
    )
    lent, found = output(code).split()
    if lent == "False":
        pytest.skip("this MLX carries no Fortran runtime")
    assert found == "True"


def test_importing_the_backend_or_the_proof_does_not_import_mlx() -> None:
    show = (
        "import sys, elmcfg, elmcfg.backend, elmcfg.proof\n"
        "print([item.name for item in elmcfg.proof.CHECKS], 'mlx' in sys.modules)"
    )
    assert output(show).startswith("['parameters', 'shapes', 'forward', ")
    assert output(show).endswith("] False")


@pytest.mark.parametrize(
    ("core", "features", "missing"),
    [
        ("SKYLAKEX", "fpu avx avx2", "avx512f"),
        ("SKYLAKEX", "fpu avx avx2 avx512f", None),
        ("ZEN", "fpu avx", "avx2"),
        ("NEOVERSEV1", "fp asimd", "sve"),
        ("ARMV8", "fp asimd", None),
        ("", "fpu", None),
    ],
)
def test_kernels_that_the_processor_cannot_run_are_told(
    core: str, features: str, missing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor: 0\nflags: {features}\n")
    monkeypatch.setattr(backend, "_CPUINFO", cpuinfo)
    assert backend._missing_feature(core) == missing


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="every OpenBLAS for x86-64 needs some AVX; other processors' need not say what",
)
def test_a_library_for_another_processor_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(backend._installed("cmeel-openblas", "cmeel.prefix/lib/libopenblas.so*"), None)
    if path is None:
        pytest.skip("cmeel-openblas is not installed")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags: fpu\n")
    monkeypatch.setattr(backend, "_CPUINFO", cpuinfo)
    blas = backend._load_packaged()
    assert blas.path is None
    assert "built for" in blas.reason


@pytest.mark.parametrize(("given", "expected"), [(None, "0"), ("1", "1")])
def test_float32_is_float32_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    monkeypatch.delenv("MLX_ENABLE_TF32", raising=False)
    if given is not None:
        monkeypatch.setenv("MLX_ENABLE_TF32", given)
    backend.import_mlx()
    assert os.environ["MLX_ENABLE_TF32"] == expected


@pytest.mark.parametrize(
    ("installed", "gpu"),
    [("mlx-cpu", False), ("mlx-metal", True), ("mlx-cuda-13", True), (None, False)],
)
def test_a_backend_for_a_gpu_is_told_without_loading_mlx(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, gpu: bool
) -> None:
    there = {installed: "0.30.4"}
    monkeypatch.setattr(backend, "version_of", there.get)
    assert backend.backends() == ({} if installed is None else there)
    assert backend.has_gpu() is gpu


def test_unknown_packages_have_no_version() -> None:
    assert backend.version_of("no-such-package-anywhere") is None
