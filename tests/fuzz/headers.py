"""Fuzzing of the readers of safetensors and GGUF with atheris. Not part of the test suite.

    python -m pip install atheris
    python tests/fuzz/headers.py -max_total_time=300 -max_len=6000 CORPUS

Any bytes must be read as a model or refused in words, and no place may lie outside of the file. An
empty corpus gets a model of one layer in each format to begin with: no random bytes become one.
"""

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
with atheris.instrument_imports(include=["elmcfg"]):
    from hardness import check_checkpoint


def plant(corpus: Path) -> None:
    """Write a model of one layer in each format."""
    import elmcfg
    from elmcfg.conversion import Options, convert

    sizes = {"num_transformer_layers": 1, "model_dim": 4, "head_dim": 2, "vocab_size": 4}
    lists = {"num_query_heads": [2], "num_kv_heads": [1], "ffn_multipliers": [1.0]}
    config = elmcfg.Config.model_validate({**sizes, **lists, "ffn_dim_divisor": 2})
    with tempfile.TemporaryDirectory() as scratch:
        for form, first in (("mlx-lm", b"\0"), ("gguf", b"\xff")):
            place = Path(scratch) / form
            convert(config, place, form, checkpoint=None, options=Options())
            file = place / "model.safetensors" if place.is_dir() else place
            (corpus / form).write_bytes(first + file.read_bytes())


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:] if Path(argument).is_dir()]
    if folders and not any(folders[0].iterdir()):
        plant(folders[0])
    with tempfile.TemporaryDirectory() as place:
        atheris.Setup(sys.argv, lambda raw: check_checkpoint(raw, Path(place)))
        atheris.Fuzz()
