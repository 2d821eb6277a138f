"""Small files that ask for much work: each ends in words, within two seconds and little memory.

``python tests/test_cost_of_input.py`` prints what each case takes. The limits are the operating
system's, on the processor time and the address space of the whole process.
"""

import json
import math
import os
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from elmcfg.document.tree import MAX_VALUES
from elmcfg.field_types import MAX_LAYERS
from elmcfg.formats import safetensors

ROOT = Path(__file__).parent.parent
PROCESSOR_SECONDS, ADDRESS_BYTES, OUTPUT_BYTES = 2, 500 * 10**6, 400_000
HEADER = safetensors.MAX_HEADER_BYTES - 100  # just below what is read
HUGE = 10**300

RECIPE = {
    "num_transformer_layers": 16,
    "model_dim": 1280,
    "head_dim": 64,
    "vocab_size": 32000,
    "num_gqa_groups": 4,
    "qkv_multipliers": [0.5, 1.0],
    "ffn_multipliers": [0.5, 4.0],
}
FAMILY = {
    "model_type": "llama",
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "per_layer_config": {"3": {"num_attention_heads": 16}},
}
CORENET = """\
# 'x': dict(
# {}
# ),
model:
  language_modeling:
    name: general_gpt
    general_gpt:
      model_name: x
      vocab_size: 32000
      max_context_length: 2048
"""


class Case(NamedTuple):
    """A file, and what one of the messages about it says; "" where it is valid."""

    file: str
    content: Callable[[], Any]
    message: str


def recipe(**keys: Any) -> str:
    return json.dumps(RECIPE | keys)


def lists(layers: int, entries: int) -> str:
    keys = ("num_query_heads", "num_kv_heads", "ffn_multipliers")
    sizes = {key: RECIPE[key] for key in ("model_dim", "head_dim", "vocab_size")}
    return json.dumps(
        {"num_transformer_layers": layers, **sizes, **{k: [4] * entries for k in keys}}
    )


def family(**keys: Any) -> str:
    return json.dumps(FAMILY | keys)


def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def header(values: Any) -> bytes:
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


def filled(unit: bytes) -> bytes:
    return header(b'{"a":[' + unit * (HEADER // len(unit)) + b"0]}")


def model(layers: int) -> bytes:
    """A whole checkpoint of the narrowest model there is."""
    parts = {
        "attn.qkv_proj": [6, 2], "attn.out_proj": [2, 2], "attn.q_norm": [2], "attn.k_norm": [2],
        "ffn.proj_1": [2, 2], "ffn.proj_2": [2, 1], "attn_norm": [2], "ffn_norm": [2],
    }  # fmt: skip
    shapes = {"transformer.token_embeddings.weight": [2, 2], "transformer.norm.weight": [2]}
    shapes |= {
        f"transformer.layers.{i}.{part}.weight": shape
        for i in range(layers)
        for part, shape in parts.items()
    }
    entries, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        entries[name] = tensor(shape, start, end, "BF16")
    return header(entries) + bytes(end)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(tensors: int, keys: int, body: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + body


def gguf_list(kind: int, count: int, size: int) -> bytes:
    return struct.pack("<IIQ", 9, kind, count) + bytes(size * count)


CASES: dict[str, Case] = {
    "layers": Case("a.json", lambda: recipe(num_transformer_layers=100_000), "at most 1,024"),
    "most layers": Case("a.json", lambda: recipe(num_transformer_layers=MAX_LAYERS), ""),
    "huge layers": Case("a.json", lambda: recipe(num_transformer_layers=HUGE), "at most 1,024"),
    "float layers": Case("a.json", lambda: recipe(num_transformer_layers=1e300), "whole number"),
    "control points": Case(
        "a.json",
        lambda: recipe(
            num_transformer_layers=MAX_LAYERS, ffn_multipliers=[0.5, 1.0] * (MAX_LAYERS // 4)
        ),
        "",
    ),
    "long lists": Case("a.json", lambda: lists(4, MAX_VALUES // 4), "5,000 entries for 4 layers"),
    "bad entries": Case(
        "a.json", lambda: recipe(ffn_multipliers=[[]] * (MAX_VALUES - 30)), "a number belongs here"
    ),
    "most lists": Case("a.json", lambda: lists(MAX_LAYERS, MAX_LAYERS), ""),
    "aliases": Case(
        "a.yaml",
        lambda: "a: &a [1" + ", 1" * 99 + "]\nb: &b [*a" + ", *a" * 99 + "]\nc: [*b, *b, *b]\n",
        "over 20,000 values",
    ),
    "huge sizes": Case(
        "a.json",
        lambda: recipe(
            **dict.fromkeys(("model_dim", "head_dim", "vocab_size", "num_gqa_groups"), HUGE),
            **dict.fromkeys(("num_query_heads", "num_kv_heads"), [HUGE] * 16),
            schedule={"decimals": HUGE},
        ),
        "must be at most",
    ),
    "family layers": Case("a.json", lambda: family(num_hidden_layers=2**30), "at most 1,024"),
    "family sizes": Case(
        "a.json",
        lambda: family(**{key: HUGE for key in FAMILY if key.startswith(("num_att", "hid"))}),
        "not a whole number from 1",
    ),
    "comment of a list": Case(
        "a.yaml",
        lambda: CORENET.format("ffn_multipliers=(" + "(),1," * 300_000 + "),"),
        "1,500,019 characters",
    ),
    "comment of calls": Case(
        "a.yaml", lambda: CORENET.format("model_dim=1" + "()" * 16_000), "cannot be read"
    ),
    "comment of tuples": Case(
        "a.yaml", lambda: CORENET.format("ffn_multipliers=(" + "()," * 10_900 + "),"), "missing"
    ),
    "comment of warnings": Case(
        "a.yaml",
        lambda: CORENET.format("ffn_multipliers=(" + "1if 1else 1," * 2_000 + "),"),
        "cannot be read",
    ),
    "comment of signs": Case(
        "a.yaml", lambda: CORENET.format("model_dim=" + "-" * 32_000 + "1,"), "cannot be read"
    ),
    "rank": Case(
        "a.safetensors", lambda: header({"a": tensor([2**48] * 100_000, 0, 8)}), "no sound shape"
    ),
    "empty rank": Case(
        "a.safetensors",
        lambda: header({"a": tensor([2**48] * 100_000 + [0], 0, 0)}),
        "no sound shape",
    ),
    "ranks": Case(
        "a.safetensors",
        lambda: header({f"{i}": tensor([2**48] * 8, 0, 8) for i in range(30_000)}),
        "does not fit its shape",
    ),
    "tensors": Case(
        "a.safetensors",
        lambda: header({f"{i}": tensor([0], 0, 0) for i in range(120_000)}),
        "over 65,536 tensors",
    ),
    "most tensors": Case(
        "a.safetensors",
        lambda: header({f"{i}": tensor([0], 0, 0) for i in range(65_536)}),
        "not the tensors of",
    ),
    "names": Case(
        "a.safetensors",
        lambda: header(b"{" + b",".join(b'"%x":0' % i for i in range(800_000)) + b"}"),
        "over 65,536 tensors",
    ),
    "header of numbers": Case("a.safetensors", lambda: filled(b"0,"), "no dtype"),
    "header of lists": Case("a.safetensors", lambda: filled(b"[],"), "no dtype"),
    "header of objects": Case("a.safetensors", lambda: filled(b"{},"), "no dtype"),
    "header of digits": Case("a.safetensors", lambda: filled(b"9" * 4_000 + b","), "no dtype"),
    "long name": Case(
        "a.safetensors", lambda: header({"x" * 7_000_000: tensor([1], 0, 4)}), "7,000,000 char"
    ),
    "deepest model": Case("a.safetensors", lambda: model(MAX_LAYERS), ""),
    "deeper model": Case("a.safetensors", lambda: model(7_000), "at most 1,024"),
    "shards": Case(
        "a.safetensors.index.json",
        lambda: json.dumps({"weight_map": {f"{i}": f"{i}.safetensors" for i in range(200_000)}}),
        "200,000 shards",
    ),
    "gguf tensors": Case(
        "a.gguf",
        lambda: gguf(
            65_536, 0,
            b"".join(text(f"{i}") + struct.pack("<IQIQ", 1, 0, 0, 0) for i in range(65_536))
            + bytes(32),
        ),
        "architecture",
    ),
    "gguf numbers": Case(
        "a.gguf", lambda: gguf(0, 1, text("k") + gguf_list(0, 60_000_000, 1)), "architecture"
    ),
    "gguf long numbers": Case(
        "a.gguf", lambda: gguf(0, 1, text("k") + gguf_list(0, 90_000_000, 1)), "67,108,864 bytes"
    ),
    "gguf texts": Case(
        "a.gguf", lambda: gguf(0, 1, text("k") + gguf_list(8, 5_000_000, 8)), "1,000,000 texts"
    ),
    "gguf most texts": Case(
        "a.gguf", lambda: gguf(0, 1, text("k") + gguf_list(8, 1_000_000, 8)), "architecture"
    ),
}  # fmt: skip
COMMANDS = (("validate",), ("show",), ("validate", "--target", "all"), ("diff", "tiny"))


def write(case: Case, folder: Path) -> None:
    content = case.content()
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / case.file).write_bytes(raw)


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "elmcfg", *arguments],
        cwd=folder,
        capture_output=True,
        preexec_fn=limited,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to the limits")
@pytest.mark.parametrize("name", CASES)
def test_little_input_costs_little(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    write(case, tmp_path)
    for command in COMMANDS[:2]:
        done = run(*command, case.file, folder=tmp_path)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == (1 if case.message else 0), said[-2000:]
        assert case.message in said
        assert len(said) < OUTPUT_BYTES
        for fault in ("Traceback", "internal error", "out of memory", "Warning:"):
            assert fault not in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to the limits")
def test_a_vocabulary_is_not_written_out_before_it_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(recipe(vocab_size=2**30, model_dim=64))
    done = run("convert", "a.json", "a.gguf", folder=tmp_path)
    assert done.returncode == 1
    assert b"at most 1,000,000 are written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def measured() -> None:
    """Print processor time, peak memory and output of each case and command."""
    for name, case in CASES.items():
        for command in COMMANDS:
            with tempfile.TemporaryDirectory() as made:
                folder = Path(made)
                write(case, folder)
                arguments = [sys.executable, "-P", "-m", "elmcfg", *command, case.file]
                with (folder / "out").open("wb") as out:
                    child = os.posix_spawn(
                        "/bin/sh",
                        ["sh", "-c", 'cd "$0"; exec "$@"', made, *arguments],
                        os.environ,
                        file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), fd) for fd in (1, 2)],
                    )
                    _, status, usage = os.wait4(child, 0)
                seconds = usage.ru_utime + usage.ru_stime
                print(
                    f"{name:20} {' '.join(command):22} {seconds:5.2f} s "
                    f"{usage.ru_maxrss / 1024:5.0f} MiB {(folder / 'out').stat().st_size:9,} bytes "
                    f"exit {os.waitstatus_to_exitcode(status)}"
                )


if __name__ == "__main__":
    measured()
