"""Prefill and decode on a GPU: elmcfg's model against mlx-lm's, same weights, same process.

For OpenELM-270M, 1.1B and 3B with random bfloat16 weights: one pass over a prompt of 2,048 tokens,
then 128 tokens decoded one by one, greedily, the next step being queued while the last one runs.
Decoding reads every weight once per token, so the limit is the bandwidth of memory, measured here
as that of a large copy, over the bytes of the weights and of the KV cache.

Beside the two models stand experiments on what decoding is bound by: a *lean* step, written for
few operations, which may compile what lies between two attentions ("compiled"), normalise and
rotate queries and keys together ("heads"), or let the product add the residual ("addmm"); and the
same over a cache of fixed length, compiled as a whole ("static"). All are run in several
environments, since MLX reads its own settings once per process. Every variant's greedy tokens are
compared with mlx-lm's.

Needs elmcfg and its dependencies, MLX for the GPU, and mlx-lm's files (its own dependencies are
not needed). It is one file, so that it can be carried to a machine; ``--tiny`` runs it anywhere.

    python benchmarks/gpu.py [--models openelm-270m ...] [--rounds 3] [--tiny]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
# Imported so, everywhere at once, because MLX leaves much of itself untyped.
mx: Any = importlib.import_module("elmcfg.backend").import_mlx()
tree_flatten: Any = importlib.import_module("mlx.utils").tree_flatten
MODELS = ("openelm-270m", "openelm-1_1b", "openelm-3b")
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "as installed": {},
    "no cuDNN attention": {"MLX_CUDA_USE_CUDNN_SDPA": "0"},
    "whole step in one graph": {
        "MLX_MAX_OPS_PER_BUFFER": "4000",
        "MLX_MAX_MB_PER_BUFFER": "100000",
        "MLX_CUDA_USE_CUDNN_SDPA": "0",
    },
}
LEAN: dict[str, dict[str, bool]] = {
    "lean": {},
    "lean, heads": {"heads": True},
    "lean, addmm": {"addmm": True},
    "lean, compiled": {"compiled": True},
    "lean, compiled, heads": {"compiled": True, "heads": True},
    "lean, compiled, heads, addmm": {"compiled": True, "heads": True, "addmm": True},
}
WARM_UP = 8


def mlx_lm_openelm() -> tuple[Any, Any]:
    """mlx-lm's OpenELM and caches, without the package's own imports, which need much more."""
    spec = importlib.util.find_spec("mlx_lm")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("gpu.py: mlx-lm is not installed")
    package = types.ModuleType("mlx_lm")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["mlx_lm"] = package
    return (
        importlib.import_module("mlx_lm.models.openelm"),
        importlib.import_module("mlx_lm.models.cache"),
    )


class Lean:
    """A decode step written for few kernels and few Python calls, over a model's own weights.

    Args:
        model: elmcfg's model.
        base: Base of the rotary frequencies.
        eps: Epsilon of the norms.
        compiled: Compile what lies between two attentions into one function.
        heads: Normalise and rotate queries and keys in one operation each.
        addmm: Let the product add the residual.
    """

    def __init__(
        self,
        model: Any,
        base: float,
        eps: float,
        *,
        compiled: bool = False,
        heads: bool = False,
        addmm: bool = False,
    ) -> None:
        self.model, self.base, self.eps = model, base, eps
        self.heads, self.addmm = heads, addmm
        self.swiglu = mx.compile(lambda gate, up: gate * mx.sigmoid(gate) * up, shapeless=True)
        layers = model.layers
        self.scale = layers[0].attn.head_dim ** -0.5
        self.joint = [self._joint_weight(layer.attn) for layer in layers]
        pieces: list[Callable[..., Any]] = [self._first()]
        pieces += [self._between(i) for i in range(len(layers) - 1)]
        pieces += [self._last()]
        self.pieces = [mx.compile(piece) for piece in pieces] if compiled else pieces

    def _joint_weight(self, attn: Any) -> Any:
        if not self.heads:
            return None
        q, k = attn.num_query_heads, attn.num_kv_heads
        rows = [mx.broadcast_to(attn.q_norm.weight, (q, attn.head_dim))]
        rows += [mx.broadcast_to(attn.k_norm.weight, (k, attn.head_dim))]
        joint = mx.concatenate(rows)[None, :, None]
        mx.eval(joint)
        return joint

    def _project(self, i: int, x: Any, offset: Any) -> tuple[Any, Any, Any]:
        """Hidden state to rotated queries and keys, and values."""
        layer = self.model.layers[i]
        attn = layer.attn
        q, k, h = attn.num_query_heads, attn.num_kv_heads, attn.head_dim
        normed = mx.fast.rms_norm(x, layer.attn_norm.weight, self.eps)
        heads = (normed @ attn.qkv_proj.weight.T).reshape(1, q + 2 * k, 1, h)
        rope = {"traditional": False, "base": self.base, "scale": 1.0, "offset": offset}
        if self.heads:
            both = mx.fast.rms_norm(heads[:, : q + k], None, self.eps) * self.joint[i]
            both = mx.fast.rope(both, h, **rope)
            return both[:, :q], both[:, q:], heads[:, q + k :]
        queries = mx.fast.rms_norm(heads[:, :q], attn.q_norm.weight, self.eps)
        keys = mx.fast.rms_norm(heads[:, q : q + k], attn.k_norm.weight, self.eps)
        queries, keys = mx.fast.rope(queries, h, **rope), mx.fast.rope(keys, h, **rope)
        return queries, keys, heads[:, q + k :]

    def _add(self, x: Any, a: Any, weight: Any) -> Any:
        if self.addmm:
            return mx.addmm(x, a, weight.T)
        return x + a @ weight.T

    def _finish(self, i: int, x: Any, attended: Any) -> Any:
        """The rest of layer ``i``: output projection and feed-forward."""
        layer = self.model.layers[i]
        x = self._add(x, attended.reshape(1, 1, -1), layer.attn.out_proj.weight)
        normed = mx.fast.rms_norm(x, layer.ffn_norm.weight, self.eps)
        gate, up = mx.split(normed @ layer.ffn.proj_1.weight.T, 2, axis=-1)
        return self._add(x, self.swiglu(gate, up), layer.ffn.proj_2.weight)

    def _first(self) -> Callable[..., Any]:
        table = self.model.transformer.token_embeddings.weight

        def piece(token: Any, offset: Any) -> Any:
            x = table[token]
            return x, *self._project(0, x, offset)

        return piece

    def _between(self, i: int) -> Callable[..., Any]:
        def piece(x: Any, attended: Any, offset: Any) -> Any:
            x = self._finish(i, x, attended)
            return x, *self._project(i + 1, x, offset)

        return piece

    def _last(self) -> Callable[..., Any]:
        transformer = self.model.transformer

        def piece(x: Any, attended: Any) -> Any:
            x = self._finish(len(self.model.layers) - 1, x, attended)
            x = mx.fast.rms_norm(x, transformer.norm.weight, self.eps)
            return x @ transformer.token_embeddings.weight.T

        return piece

    def __call__(self, token: Any, caches: list[Any]) -> Any:
        offset = mx.array(caches[0].offset)
        x, queries, keys, values = self.pieces[0](token, offset)
        for i, cache in enumerate(caches):
            keys, values = cache.update_and_fetch(keys, values)
            attended = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=self.scale)
            if i + 1 == len(caches):
                return self.pieces[-1](x, attended)
            x, queries, keys, values = self.pieces[i + 1](x, attended, offset)
        raise AssertionError("a model has layers")


class Static(Lean):
    """The lean step over buffers of fixed length, with a mask, compiled as one function."""

    def __init__(self, model: Any, base: float, eps: float, room: int) -> None:
        super().__init__(model, base, eps, heads=True)
        self.room = room
        self.whole = mx.compile(self._whole)

    def _whole(self, token: Any, offset: Any, *buffers: Any) -> tuple[Any, ...]:
        out = []
        mask = (mx.arange(buffers[0].shape[2]) <= offset)[None, None, None]
        x, queries, keys, values = self.pieces[0](token, offset)
        for i in range(len(self.model.layers)):
            keys = mx.slice_update(buffers[2 * i], keys, offset[None], (2,))
            values = mx.slice_update(buffers[2 * i + 1], values, offset[None], (2,))
            out += [keys, values]
            attended = mx.fast.scaled_dot_product_attention(
                queries, keys, values, scale=self.scale, mask=mask
            )
            if i + 1 < len(self.model.layers):
                x, queries, keys, values = self.pieces[i + 1](x, attended, offset)
        return self.pieces[-1](x, attended), *out

    def __call__(self, token: Any, caches: list[Any]) -> Any:
        if not isinstance(caches[0], dict):  # As the prefill left them: take them over, once.
            start, buffers = caches[0].offset, []
            for cache in caches:
                for held in cache.state:
                    missing = self.room - held.shape[2]
                    buffers.append(mx.pad(held, [(0, 0), (0, 0), (0, missing), (0, 0)]))
            mx.eval(buffers)
            caches[:] = [{"offset": mx.array(start), "buffers": buffers}]
        held = caches[0]
        logits, *buffers = self.whole(token, held["offset"], *held["buffers"])
        caches[0] = {"offset": held["offset"] + 1, "buffers": buffers}
        return logits


def decode(
    step: Callable[..., Any], token: Any, caches: Any, count: int
) -> tuple[list[int], float]:
    """Greedy tokens, and the seconds of all but the first ones."""

    def following(token: Any) -> Any:
        chosen = mx.argmax(step(token, caches)[:, -1], axis=-1, keepdims=True)
        mx.async_eval(chosen)
        return chosen

    tokens, began = [], 0.0
    token = following(token)
    for index in range(count + WARM_UP):
        if index == WARM_UP:
            began = time.perf_counter()
        later = following(token)
        tokens.append(int(token.item()))
        token = later
    mx.eval(token)
    return tokens, time.perf_counter() - began


def queued(step: Callable[..., Any], token: Any, caches: Any) -> float:
    """Seconds in which Python writes one step down, without running it."""
    began = time.perf_counter()
    step(token, caches)
    return time.perf_counter() - began


def bandwidth(nbytes: int) -> float:
    """Bytes per second, read and written, of a large copy."""
    source = mx.zeros((nbytes // 2,), mx.bfloat16)
    mx.eval(source)
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        mx.eval(mx.negative(source))
        seconds.append(time.perf_counter() - began)
    return 2 * nbytes / statistics.median(seconds[2:])


def flat(model: Any) -> list[tuple[str, Any]]:
    """Name and tensor of every weight."""
    pairs: list[tuple[str, Any]] = tree_flatten(model.parameters())
    return pairs


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything about one model, in this process."""
    import elmcfg
    from elmcfg.config import resolve
    from elmcfg.costs import cost
    from elmcfg.model import build, make_cache

    prompt, count = arguments.prompt, arguments.tokens
    config = elmcfg.load(name)
    ours = build(config, dtype="bfloat16", seed=0)
    for _, tensor in flat(ours):
        mx.eval(tensor)
    openelm, cache_module = mlx_lm_openelm()
    values = resolve(config).model_dump(exclude_none=True)
    stock = openelm.Model(openelm.ModelArgs.from_dict(values))
    stock.load_weights(flat(ours), strict=True)

    stock_cache: Callable[[], Any] = lambda: cache_module.make_prompt_cache(stock)  # noqa: E731
    our_cache: Callable[[], Any] = lambda: make_cache(ours)  # noqa: E731
    variants: dict[str, tuple[Any, Any]] = {
        "mlx-lm": (stock, stock_cache),
        "elmcfg": (ours, our_cache),
    }
    if config.normalize_qk_projections and config.share_input_output_layers:
        for label, flags in LEAN.items():
            step = Lean(ours, config.rope_freq_constant, config.rms_norm_eps, **flags)
            variants[label] = (step, our_cache)
        room = -(-(prompt + count + 2 * WARM_UP) // 256) * 256
        static = Static(ours, config.rope_freq_constant, config.rms_norm_eps, room)
        variants["static, one compiled step"] = (static, our_cache)
    tokens = mx.random.randint(0, config.vocab_size, (1, prompt), key=mx.random.key(1))
    result: dict[str, Any] = {
        label: {"prefill": [], "decode": [], "python": []} for label in variants
    }
    for _ in range(arguments.rounds + 1):
        for label, (step, new_cache) in variants.items():
            model = stock if label == "mlx-lm" else ours
            caches = new_cache()
            began = time.perf_counter()
            last = model(tokens, caches)[:, -1]
            mx.eval(last, [cache.state for cache in caches])
            prefill = time.perf_counter() - began
            first = mx.argmax(last, axis=-1, keepdims=True)
            generated, seconds = decode(step, first, caches, count)
            entry = result[label]
            entry["prefill"].append(prefill)
            entry["decode"].append(seconds / count)
            entry["python"].append(queued(step, first, caches))
            entry["tokens"] = generated
    for entry in result.values():
        for key in ("prefill", "decode", "python"):
            entry[key] = statistics.median(entry[key][1:])  # The first round compiles.
        pairs = zip(entry["tokens"], result["mlx-lm"]["tokens"], strict=True)
        entry["same_tokens"] = next(
            (i for i, (mine, theirs) in enumerate(pairs) if mine != theirs), count + WARM_UP
        )
    for entry in result.values():
        del entry["tokens"]
    spent = cost(config)
    per_token = 2 * spent.parameters.total + spent.kv_cache_bytes_per_token * (prompt + count // 2)
    speed = bandwidth(2**20 if arguments.tiny else 2**31)
    return {
        "variants": result,
        "bandwidth": speed,
        "limit": per_token / speed,
        "device": str(mx.device_info(mx.default_device()).get("device_name")),
        "mlx": importlib.import_module("importlib.metadata").version("mlx"),
    }


def child(name: str, environment: dict[str, str], options: list[str]) -> dict[str, Any] | None:
    """The measurements of a fresh process."""
    command = [sys.executable, __file__, "--child", "--models", name, *options]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{name}: the measuring process ended with status {done.returncode}")
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(name: str, label: str, found: dict[str, Any]) -> None:
    limit = found["limit"]
    print(
        f"\n{name}, {label}: {found['device']}, MLX {found['mlx']}, copy "
        f"{found['bandwidth'] / 1e12:.2f} TB/s, decode limit {1 / limit:,.0f} token/s"
    )
    print(
        f"{'':30}{'prefill ms':>11}{'x mlx-lm':>9}{'token/s':>9}{'x mlx-lm':>9}{'of limit':>9}"
        f"{'python ms':>10}{'same tokens':>12}"
    )
    base = found["variants"]["mlx-lm"]
    for variant, entry in found["variants"].items():
        print(
            f"{variant:30}{entry['prefill'] * 1e3:11.2f}{base['prefill'] / entry['prefill']:9.2f}"
            f"{1 / entry['decode']:9.0f}{base['decode'] / entry['decode']:9.2f}"
            f"{limit / entry['decode']:9.1%}{entry['python'] * 1e3:10.2f}{entry['same_tokens']:12}"
        )
    sys.stdout.flush()


def prove(name: str, *options: str) -> bool:
    """The proof on the GPU, in a process of its own."""
    command = [sys.executable, "-m", "elmcfg", "build-and-run", name, *options]
    print("\n$", " ".join(["elmcfg", *command[3:]]), flush=True)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return (
        subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode == 0
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="CONFIG")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds of each")
    parser.add_argument("--prompt", type=int, default=2048, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=128, help="tokens decoded")
    parser.add_argument("--tiny", action="store_true", help="the tiny model, anywhere, in seconds")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.models[0], arguments)))
        return 0
    if arguments.tiny:
        arguments.models, arguments.prompt, arguments.tokens = ["tiny"], 64, 16
    options = [f"--rounds={arguments.rounds}", f"--prompt={arguments.prompt}"]
    options += [f"--tokens={arguments.tokens}", *(["--tiny"] if arguments.tiny else [])]
    proven = [
        prove(name, "--device", "auto" if arguments.tiny else "gpu", "--dtype", dtype, "-q")
        for name in arguments.models
        for dtype in ("float32", "bfloat16")
    ]
    for name in arguments.models:
        for label, environment in ENVIRONMENTS.items():
            found = child(name, environment, options)
            if found is not None:
                show(name, label, found)
    return 0 if all(proven) else 1


if __name__ == "__main__":
    sys.exit(main())
