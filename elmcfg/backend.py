"""Makes MLX usable: finds it, gives it a fast BLAS on Linux, and says plainly what is missing.

MLX on a Mac uses Apple's Accelerate and Metal. The Linux CPU wheel (``mlx-cpu``) is linked to the
slow reference BLAS, and its symbols are looked up when its library is loaded. So an OpenBLAS
that is already in the process, loaded with global symbols, is the one that MLX will use: matrix
products of float32 become 20 times faster and more. ``pip install 'elmcfg[cpu]'`` brings one (the
``cmeel-openblas`` wheel), and :func:`import_mlx` loads it first.

The environment variable ``ELMCFG_OPENBLAS`` chooses:

* ``auto`` (the default): on Linux, the packaged OpenBLAS where it is found and MLX has not been
  imported yet;
* ``off``: leave MLX's own BLAS;
* a path: load this library (any that exports the CBLAS and LAPACK symbols).

Global symbols are seen by every library loaded later, so a program that does not want that, for
instance because another package brings a BLAS of its own, sets ``off``.

OpenBLAS's threads wait for each other by spinning. Where other programs keep the cores busy that
costs more than it gains, several times over: set ``OPENBLAS_NUM_THREADS=1`` there.

This module imports the standard library only; it is the one place that imports MLX on behalf of
the rooms that compute with it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType

OPENBLAS_VARIABLE = "ELMCFG_OPENBLAS"

_OPENBLAS = "cmeel-openblas"

_BACKENDS = ("mlx-metal", "mlx-cpu", "mlx-cuda-12", "mlx-cuda-13", "mlx-cuda")


class BackendError(Exception):
    """MLX, or the library that it should use, cannot be loaded."""


class MissingBackendError(BackendError, ImportError):
    """MLX is not installed, or has no backend; the message says what to install."""


class OpenBlasError(BackendError, OSError):
    """``ELMCFG_OPENBLAS`` names a library that cannot be loaded."""


@dataclass(frozen=True, slots=True)
class Blas:
    """The BLAS that was given to MLX.

    Attributes:
        name: Such as "OpenBLAS 0.3.31"; None where MLX was left with its own.
        path: File that was loaded, or None.
        reason: Why this one, in a few words.
    """

    name: str | None
    path: str | None
    reason: str


def import_mlx() -> ModuleType:
    """Import ``mlx.core``, with a fast BLAS in place where there is one, and float32 as float32.

    On CUDA, MLX by default rounds the factors of float32 products to 10 bits of mantissa (TF32),
    which no tolerance of float32 covers. ``MLX_ENABLE_TF32`` is set to 0 where the environment says
    nothing else; MLX reads it at the first product.

    Returns:
        The module ``mlx.core``.

    Raises:
        MissingBackendError: If MLX or its backend is not installed; says what to install.
        OpenBlasError: If ``ELMCFG_OPENBLAS`` names a library that cannot be loaded.
    """
    load_blas()
    os.environ.setdefault("MLX_ENABLE_TF32", "0")
    try:
        return importlib.import_module("mlx.core")
    except ImportError as error:
        raise MissingBackendError(_what_to_install(error)) from error


def on_gpu() -> bool:
    """Whether MLX now computes on a GPU: on its default device, which ``mx.stream`` changes."""
    mx = import_mlx()
    return bool(mx.default_device().type == mx.gpu)


def version_of(distribution: str) -> str | None:
    """The version of a distribution package; None where it is not installed."""
    from importlib import metadata  # which takes longer to import than all of this

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def backends() -> dict[str, str]:
    """The distributions that carry a backend of MLX here, one as a rule, with their versions."""
    return {name: version for name in _BACKENDS if (version := version_of(name)) is not None}


def has_gpu() -> bool:
    """Whether MLX here has a backend for a GPU; told without loading it."""
    return any(name != "mlx-cpu" for name in backends())


@functools.cache
def load_blas() -> Blas:
    """Load the BLAS that ``ELMCFG_OPENBLAS`` asks for, once per process, before MLX.

    Returns:
        What was loaded, and why.

    Raises:
        OpenBlasError: If the variable names a library that cannot be loaded.
    """
    setting = os.environ.get(OPENBLAS_VARIABLE, "").strip() or "auto"
    if sys.modules.get("mlx.core") is not None:
        return Blas(None, None, "MLX was imported before elmcfg")
    if setting == "off":
        return Blas(None, None, f"{OPENBLAS_VARIABLE}=off")
    if setting != "auto":
        return _load_given(setting)
    if sys.platform != "linux":
        return Blas(None, None, "not needed on this system")
    return _load_packaged()


def _load_given(setting: str) -> Blas:
    path = Path(setting).expanduser()
    if not path.is_file():
        raise OpenBlasError(
            f"{OPENBLAS_VARIABLE}={setting}: no such file (it takes 'auto', 'off' or the path of "
            "a BLAS library)"
        )
    try:
        return _load(path, f"{OPENBLAS_VARIABLE}={setting}")
    except OSError as error:
        raise OpenBlasError(
            f"{OPENBLAS_VARIABLE}={setting}: cannot be loaded: {_one_line(error)}"
        ) from error


def _load_packaged() -> Blas:
    path = next(_installed(_OPENBLAS, "cmeel.prefix/lib/libopenblas.so*"), None)
    if path is None:
        return Blas(None, None, f"{_OPENBLAS} is not installed")
    try:
        return _load(path, "packaged")
    except OSError as error:
        return Blas(None, None, f"{_OPENBLAS} cannot be loaded: {_one_line(error)}")


def _installed(distribution: str, pattern: str) -> Iterator[Path]:
    """Find the files of a distribution that match a pattern, by its own record of them.

    The working directory may hold a stranger's files, and so their records too: Python has it on
    the path in a console, with ``-c`` and with ``-m``. It is left out.
    """
    from importlib import metadata

    folders = [entry for entry in sys.path if not _is_here(entry)]
    for package in metadata.distributions(name=distribution, path=folders):
        for file in sorted(package.files or ()):
            path = Path(str(file.locate()))
            if file.match(pattern) and path.is_file():
                yield path


def _is_here(entry: str) -> bool:
    """Return whether an entry of the path is the working directory."""
    try:
        return Path(entry or ".").samefile(".")
    except OSError:
        return entry in ("", ".")


def _load(path: Path, reason: str) -> Blas:
    absolute = str(path.resolve())
    try:
        library = ctypes.CDLL(absolute)
    except OSError as error:
        if "libgfortran" not in str(error) or not _lend_libgfortran():
            raise
        library = ctypes.CDLL(absolute)
    core = _core(library)
    if missing := _missing_feature(core):
        raise OSError(
            f"it was built for {core} processors, and this one has no {missing}: its first matrix "
            "product would end the process; install cmeel-openblas==0.3.29"
        )
    # Only now may others see its symbols.
    ctypes.CDLL(absolute, mode=ctypes.RTLD_GLOBAL)
    return Blas(_library_name(library, path), absolute, reason)


# The instructions that OpenBLAS's kernels for a processor need, by their names in /proc/cpuinfo
# (OpenBLAS's TargetList.txt and cpuid_x86.c). A library built with one set of kernels, as the
# wheel of cmeel-openblas 0.3.31 is, does not look at the processor that it runs on.
_FEATURES = {
    "SANDYBRIDGE": "avx",
    "BULLDOZER": "avx",
    "HASWELL": "avx2",
    "ZEN": "avx2",
    "SKYLAKEX": "avx512f",
    "COOPERLAKE": "avx512_bf16",
    "SAPPHIRERAPIDS": "avx512_bf16",
    "ARMV8SVE": "sve",
    "A64FX": "sve",
    "NEOVERSEV1": "sve",
    "NEOVERSEN2": "sve2",
}


def _core(library: ctypes.CDLL) -> str:
    """The processor whose kernels OpenBLAS uses; empty for another library."""
    try:
        describe = library.openblas_get_corename
    except AttributeError:
        return ""
    describe.restype = ctypes.c_char_p
    return str(describe().decode(errors="replace")).upper()


def _missing_feature(core: str) -> str | None:
    """An instruction set that the kernels need and this processor lacks; None where all is well."""
    needed = _FEATURES.get(core)
    if needed is None:
        return None
    try:
        words = _CPUINFO.read_text(errors="replace").split()
    except OSError:
        return None
    return needed if needed not in words else None


_CPUINFO = Path("/proc/cpuinfo")


def _lend_libgfortran() -> bool:
    """Load MLX's private copy of the Fortran runtime under its public name.

    OpenBLAS needs ``libgfortran.so.5``, which its wheel does not carry and slim containers do not
    have. The MLX wheel does carry it, renamed (to ``libgfortran-<hash>.so.5.0.0``) so that it
    disturbs nobody. The loader matches a library by the name written inside it, so an anonymous
    in-memory copy with the public name written over the longer private one is found.

    Returns:
        Whether there was one to lend.
    """
    public = b"libgfortran.so.5\0"
    of_mlx = (_installed(name, "mlx*.libs/libgfortran-*.so.5*") for name in backends())
    for path in chain.from_iterable(of_mlx):
        private = path.name.encode() + b"\0"
        content = path.read_bytes()
        if private not in content:
            continue
        try:
            for needed in sorted(path.parent.glob("libquadmath-*.so*")):
                ctypes.CDLL(str(needed))
            descriptor = os.memfd_create("libgfortran.so.5")
            with os.fdopen(descriptor, "wb") as memory:
                memory.write(content.replace(private, public.ljust(len(private), b"\0")))
                memory.flush()
                ctypes.CDLL(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        return True
    return False


def _library_name(library: ctypes.CDLL, path: Path) -> str:
    """Name and version, from OpenBLAS's description of itself, or else the file's name."""
    try:
        describe = library.openblas_get_config
    except AttributeError:
        return path.name
    describe.restype = ctypes.c_char_p
    return " ".join(describe().decode(errors="replace").split()[:2])


def _what_to_install(error: ImportError) -> str:
    system, machine = platform.system(), platform.machine()
    if system == "Darwin" and machine == "arm64":
        if isinstance(error, ModuleNotFoundError):
            return "MLX is not installed; run: pip install mlx"
        return f"MLX cannot be loaded: {_one_line(error)}"
    if system != "Linux":
        return (
            f"MLX has no build for {system} on {machine}; it runs on macOS with Apple silicon and "
            "on Linux"
        )
    extras = (
        "run: pip install 'elmcfg[cpu]' (or, for an NVIDIA GPU, 'elmcfg[cuda12]' or "
        "'elmcfg[cuda13]')"
    )
    if isinstance(error, ModuleNotFoundError):
        return f"MLX is not installed; {extras}"
    if "libmlx.so" in str(error):
        return f"MLX is installed without a backend; {extras}"
    return f"MLX cannot be loaded: {_one_line(error)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
