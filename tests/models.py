"""Small models on disk, and llama.cpp to run them. Norms are not all 1, so that they matter."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

import elmcfg
from elmcfg.formats import hub

Array = np.ndarray[Any, np.dtype[Any]]


def config(**changes: Any) -> elmcfg.Config:
    """Four layers that all differ, with no width a multiple of another model's."""
    keys: dict[str, Any] = {
        "num_transformer_layers": 4,
        "model_dim": 96,
        "head_dim": 32,
        "vocab_size": 300,
        "num_gqa_groups": 2,
        "qkv_multipliers": [0.7, 2.0],
        "ffn_multipliers": [0.5, 4.0],
        "ffn_dim_divisor": 32,
        "initializer_range": 0.2,
        "rope_freq_constant": 500.0,
        "max_context_length": 64,
        "torch_dtype": "float32",
    }
    return elmcfg.Config.model_validate(keys | changes)


def tensors(config: elmcfg.Config, seed: int = 3) -> dict[str, mx.array]:
    """Weights with norms that are drawn too."""
    random = np.random.default_rng(seed)
    weights = dict(tree_flatten(elmcfg.build(config, seed=seed).parameters()))
    for name, value in weights.items():
        if value.ndim == 1:
            drawn = random.uniform(0.5, 1.5, value.shape).astype(np.float32)
            weights[name] = mx.array(drawn)
    return weights


def save(folder: Path, config: elmcfg.Config, weights: Mapping[str, mx.array]) -> Path:
    """A model folder, written by MLX."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(hub.dump(config))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(weights))
    return folder


def log_probabilities(
    config: elmcfg.Config, weights: Mapping[str, mx.array], tokens: Sequence[int]
) -> Array:
    """What our own model says of the token after these."""
    model = elmcfg.build(config)
    model.load_weights([(name, value.astype(mx.float32)) for name, value in weights.items()])
    logits = model(mx.array([list(tokens)]))[0, -1]
    return np.array(logits - mx.logsumexp(logits))


def llama_cpp(file: Path, tokens: Sequence[int] | str, count: int = 8) -> dict[int, float]:
    """What llama.cpp says of it: the likeliest tokens and their log-probabilities."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 64, 1, False, -1
    params.cpuparams.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    # Its flash attention rounds keys and values to float16.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)
    prompt = tokens if isinstance(tokens, str) else list(tokens)
    asked = {"prompt": prompt, "n_predict": 1, "n_probs": count, "temperature": 0.0}
    answer = server.handle_completions(asked)
    answer = json.loads(answer) if isinstance(answer, str) else answer
    top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return {token["id"]: token["logprob"] for token in top}


def _blocks(card: Path, language: str) -> list[str]:
    """The code blocks of a model card."""
    parts = card.read_text().split(f"```{language}\n")[1:]
    return [part.partition("```")[0] for part in parts]


def run_card(folder: Path) -> dict[str, str]:
    """Run the code of a folder's card in it, as printed, and return what each language printed."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # ortools lets in an older protobuf only than the one sentencepiece was made with.
    quirk = {"PATH": scripts, "TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK": "true"}
    said = {}
    for language, program in (("python", [sys.executable, "-c"]), ("sh", ["bash", "-ec"])):
        for code in _blocks(folder / "README.md", language):
            done = subprocess.run(
                [*program, code],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
                env=os.environ | quirk,
            )
            assert done.returncode == 0, done.stderr
            said[language] = done.stdout
    return said
