"""Writes a proven model as a folder that mlx-lm loads.

The weights are those of ``elmcfg.build(config, dtype=..., seed=...)``: independent random numbers,
fit to be trained, not the quick ones of the proof.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elmcfg.costs import DTYPE_BYTES, cost
from elmcfg.formats import folder
from elmcfg.proof.options import Options

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.proof.child import Child


@contextlib.contextmanager
def save(
    config: Config, options: Options, place: Path, child: Child, timeout: float | None
) -> Iterator[Callable[[], None]]:
    """Make sure that a folder can be written, and give what writes it.

    Args:
        config: A valid config.
        options: For the dtype and the seed.
        place: The folder.
        child: Writes the weights.
        timeout: Most seconds for that.

    Raises:
        FolderError: If it cannot be written; nothing is left of it then.
    """
    stored = config.model_copy(update={"torch_dtype": options.dtype})
    nbytes = cost(config).parameters.total * DTYPE_BYTES[options.dtype]
    with folder.new_folder(place, nbytes) as temporary:

        def write() -> None:
            child.save(config, options, temporary / folder.WEIGHTS, timeout=timeout)
            folder.write_texts(temporary, stored, config.name or place.name)

        yield write


def write_weights(config: Config, options: Options, file: Path) -> None:
    """Write the weights of a new model; imports MLX.

    Raises:
        OSError: If the file cannot be written, or did not come out whole.
    """
    from elmcfg.backend import import_mlx

    mx = import_mlx()
    from mlx.utils import tree_flatten

    from elmcfg.model.build import build

    tensors = dict(tree_flatten(build(config, dtype=options.dtype, seed=options.seed).parameters()))
    for tensor in tensors.values():
        mx.eval(tensor)
    try:
        mx.save_safetensors(str(file), tensors, metadata={"format": "mlx"})
    except RuntimeError as error:
        raise OSError(str(error)) from error
    # A writer that finds the disk full need not say so.
    with file.open("rb") as stream:
        (header,) = struct.unpack("<Q", stream.read(8))
    expected = 8 + header + sum(tensor.nbytes for tensor in tensors.values())
    if file.stat().st_size != expected:
        raise OSError(f"{file.stat().st_size:,} of {expected:,} bytes were written")
