"""Random configs, held against the programs that the verdicts speak of.

    python tests/fuzz/verdicts.py --configs 10000 --seed 1
    python tests/fuzz/verdicts.py --configs 2000 --hub-code FOLDER --python VENV/bin/python

Makes ``config.json`` texts, valid and broken ones, without elmcfg; runs each in the real mlx-lm, in
child processes that may die; asks elmcfg for its verdicts on every program; prints how many there
were of each outcome, every wrong verdict on mlx-lm and every internal error. A fixed share of it
runs in ``tests/test_portability_fuzz.py``. With ``--hub-code`` the valid ones of them are run in
the hub's own code too, with the Python of an environment that has torch and transformers.

What mlx-lm does with a config that is broken is compared word by word: whether it stops, with which
error, while it builds the model or when it runs it; whether it dies; whether the model is exactly
what the lists say.
"""

import argparse
import json
import math
import random
import re
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

_MLX_LM = str(Path(__file__).parents[1] / "real_mlx_lm.py")

Config = dict[str, Any]
_GONE = object()
_LISTS = ("num_query_heads", "num_kv_heads", "ffn_multipliers")
_ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 8, 16, 0.5, 1.0, 8.0, 16.0, -2.5, 0.0, "", "8", "true",
    "2.5", [], [1], [8, 8], [0.5, 1.0], {}, {"0": 1}, 2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64,
    10**30, 10**400, -(2**31), 1e-50, 1e-46, 1e-40, 1e38, 3.4e38, 3.5e38, 1e39, 1e300, float("nan"),
    float("inf"), float("-inf"),
)  # fmt: skip


def divisible(value: float, divisor: int) -> int:
    """CoreNet's rounding, for the lists that this makes."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def line(points: list[float], n: int) -> list[float]:
    """One multiplier per layer, of two decimals, with numpy's rounding."""
    import numpy as np

    if len(points) == 1:
        return points * n
    xs = np.interp(np.linspace(0, len(points) - 1, n), range(len(points)), points)
    if len(points) == 2:
        xs = np.linspace(points[0], points[1], n)
    return [float(np.round(x, 2)) for x in xs]


def sound(rng: random.Random) -> Config:
    """A config that nothing is wrong with, mostly: sizes, lists or a recipe or both, switches."""
    n, h = rng.choice([1, 2, 2, 3, 3, 4, 5]), rng.choice([2, 4, 8, 16])
    d = rng.choice([8, 16, 24, 32, 36, 48, 64, 20])
    config: Config = {
        "model_type": "openelm",
        "num_transformer_layers": n,
        "model_dim": d,
        "head_dim": h,
        "vocab_size": rng.choice([3, 16, 64, 100]),
        "ffn_dim_divisor": rng.choice([1, 4, 8, 16, 64]),
    }
    if rng.random() < 0.6:
        _recipe(rng, config, n, d, h)
    else:
        kv = [rng.choice([1, 1, 2, 3, 4]) for _ in range(n)]
        config["num_kv_heads"] = kv
        config["num_query_heads"] = [k * rng.choice([1, 2, 3, 4]) for k in kv]
        config["ffn_multipliers"] = [rng.choice([0.25, 0.5, 1.0, 1.37, 2, 4.0]) for _ in range(n)]
    for key, options in _OPTIONS.items():
        if rng.random() < 0.25:
            config[key] = rng.choice(options)
    return config


_OPTIONS: Mapping[str, list[Any]] = {
    "ffn_with_glu": [True, False],
    "normalize_qk_projections": [True, False],
    "share_input_output_layers": [True, False],
    "tie_word_embeddings": [True, False, None],
    "rms_norm_eps": [1e-6, 1e-5, 1, 1e-45, 1e-50, 1e30, 1e300],
    "rope_freq_constant": [10000, 500000.0, 1, 0.5, 1e30, 10**30, 1e38, 3.4e38, 1e39, 1e-20, 1e-29,
                           1e-38, 1e-45, 1e-46],
    "rope_max_length": [16, 4096],
    "max_context_length": [8, 64, 2048],
    "num_gqa_groups": [None, 1, 2, 4],
    "qkv_multipliers": [None, 1.0, [1.0], [0.5, 1.0], [0.5, 1.0, 0.5]],
    "torch_dtype": ["bfloat16", "float32"],
    "bos_token_id": [1, None],
    "architectures": [["OpenELMForCausalLM"], None],
}  # fmt: skip


def _recipe(rng: random.Random, config: Config, n: int, d: int, h: int) -> None:
    """Add a recipe, often with the lists that it makes, and often without some of them."""
    groups = rng.choice([1, 1, 2, 4])
    points = [rng.choice([0.5, 0.75, 1.0, 1.5]) for _ in range(rng.choice([1, 1, 2, 2, 2, 3]))]
    ffn = [rng.choice([0.5, 1.0, 2.0, 4.0]) for _ in range(rng.choice([1, 2, 2, 3]))]
    points, ffn = points[: max(1, n)], ffn[: max(1, n)]
    heads = [divisible(d * m, h * groups) // h for m in line(points, n)]
    config["num_gqa_groups"] = groups
    config["qkv_multipliers"] = points[0] if len(points) == 1 and rng.random() < 0.5 else points
    config["ffn_multipliers"] = ffn[0] if len(ffn) == 1 and rng.random() < 0.5 else ffn
    if rng.random() < 0.7:
        config["num_query_heads"], config["num_kv_heads"] = heads, [q // groups for q in heads]
        config["ffn_multipliers"] = line(ffn, n)
    if rng.random() < 0.15:
        config.pop(rng.choice(["qkv_multipliers", "num_gqa_groups", "num_query_heads"]), None)


def _set(config: Config, key: str, value: Any) -> None:
    if value is _GONE:
        config.pop(key, None)
    else:
        config[key] = value


def _break_value(rng: random.Random, config: Config) -> None:
    _set(config, rng.choice(list(config)), rng.choice((*_ODD_VALUES, _GONE, _GONE)))


def _break_key(rng: random.Random, config: Config) -> None:
    key = rng.choice(list(config))
    config[rng.choice([key + "s", key[:-1], key.upper()])] = config.pop(key)


def _break_entry(rng: random.Random, config: Config) -> None:
    key = rng.choice(_LISTS)
    if isinstance(config.get(key), list) and config[key]:
        entries = list(config[key])
        odd = rng.choice([-4, -3, -2, -1, 0, 0, 1, 2, 3, 5, *_ODD_VALUES])
        entries[rng.randrange(len(entries))] = odd
        config[key] = entries


def _break_length(rng: random.Random, config: Config) -> None:
    key = rng.choice(_LISTS)
    if isinstance(config.get(key), list):
        config[key] = rng.choice([config[key][:-1], config[key] * 2, [*config[key], 1]])


def _break_number(rng: random.Random, config: Config) -> None:
    key = rng.choice([k for k, v in config.items() if isinstance(v, int)] or ["model_dim"])
    old = config.get(key, 1)
    if isinstance(old, bool):
        config[key] = rng.choice(["true", "false", 0, 1, None])
    elif abs(old) < 2**70:
        near = [-old, 0, old + 1, old - 1, 2 * old, float(old), str(old), old / 2, 2**30]
        config[key] = rng.choice(near)


def _break_switch(rng: random.Random, config: Config) -> None:
    keys = ["normalize_qk_projections", "share_input_output_layers", "ffn_with_glu"]
    config[rng.choice(keys)] = rng.choice(_ODD_VALUES)


def _break_scalar(rng: random.Random, config: Config) -> None:
    keys = ["rms_norm_eps", "rope_freq_constant", "head_dim", "ffn_dim_divisor", "model_type"]
    config[rng.choice(keys)] = rng.choice((*_ODD_VALUES, "llama", "opnelm", "phi"))


_BREAKAGES: tuple[Callable[[random.Random, Config], None], ...] = (
    _break_value, _break_key, _break_entry, _break_entry, _break_length, _break_length,
    _break_number, _break_number, _break_switch, _break_scalar,
)  # fmt: skip


def configs(seed: int, number: int) -> Iterator[Config]:
    """As many configs: of five, two as they should be, two with one breakage and one with more."""
    rng = random.Random(seed)
    for _ in range(number):
        config = sound(rng)
        for _ in range(rng.choice([0, 0, 1, 1, rng.randint(2, 4)])):
            rng.choice(_BREAKAGES)(rng, config)
        items = list(config.items())
        if rng.random() < 0.2:
            rng.shuffle(items)
        yield dict(items)


def meant(config: Config) -> dict[str, list[int]]:
    """The shapes that a valid config means: its lists, or those that its recipe makes."""
    n, d, h = (config[k] for k in ("num_transformer_layers", "model_dim", "head_dim"))

    def points(key: str) -> list[float]:
        value = config[key]
        return [value] if isinstance(value, int | float) else value

    ffn = points("ffn_multipliers")
    ffn = ffn if len(ffn) == n else line(ffn, n)
    heads, kv_heads = config.get("num_query_heads"), config.get("num_kv_heads")
    if heads is None or kv_heads is None:
        groups, qkv = config["num_gqa_groups"], points("qkv_multipliers")
        qkv = qkv if len(qkv) == n else line(qkv, n)
        heads = heads or [divisible(d * m, h * groups) // h for m in qkv]
        kv_heads = kv_heads or [q // groups for q in heads]
    widths = [divisible(d * m, config.get("ffn_dim_divisor", 256)) for m in ffn]
    return shapes(config, heads, kv_heads, widths)


def shapes(
    config: Config, heads: list[int], kv_heads: list[int], widths: list[int]
) -> dict[str, list[int]]:
    """Every tensor of a model of these layers, as the switches of the file say."""
    d, h, vocabulary = config["model_dim"], config["head_dim"], config["vocab_size"]
    up = 2 if config.get("ffn_with_glu", True) else 1
    result = {"transformer.token_embeddings.weight": [vocabulary, d]}
    for i, (q, kv, f) in enumerate(zip(heads, kv_heads, widths, strict=False)):
        prefix = f"transformer.layers.{i}."
        result[prefix + "attn.qkv_proj.weight"] = [(q + 2 * kv) * h, d]
        result[prefix + "attn.out_proj.weight"] = [d, q * h]
        if config.get("normalize_qk_projections", True):
            result[prefix + "attn.q_norm.weight"] = result[prefix + "attn.k_norm.weight"] = [h]
        result[prefix + "ffn.proj_1.weight"] = [up * f, d]
        result[prefix + "ffn.proj_2.weight"] = [d, f]
        result[prefix + "ffn_norm.weight"] = result[prefix + "attn_norm.weight"] = [d]
    result["transformer.norm.weight"] = [d]
    if not config.get("share_input_output_layers", True):
        result["lm_head.weight"] = [vocabulary, d]
    return result


def as_listed(config: Config, real: dict[str, Any]) -> bool:
    """Whether a model that mlx-lm built of a broken file is exactly what the file says."""
    switches = ("normalize_qk_projections", "share_input_output_layers", "ffn_with_glu")
    n, multipliers = config["num_transformer_layers"], config["ffn_multipliers"]
    if any(len(config[key]) != n for key in _LISTS) or real["finite"] is False:
        return False
    if any(config.get(key, True) not in (0, 1) for key in switches[:2]):
        return False  # text, null: some way to say yes or no, but which
    if config["ffn_dim_divisor"] <= 0 or any(m <= 0 for m in multipliers):
        return False
    if not config.get("ffn_with_glu", True) and config["ffn_with_glu"] in (None, 0):
        return False
    plain = {**config, "ffn_with_glu": True}
    widths = [int(divisible(m * config["model_dim"], config["ffn_dim_divisor"]))
              for m in multipliers]  # fmt: skip
    said = shapes(plain, config["num_query_heads"], config["num_kv_heads"], widths)
    return bool(said == real["shapes"])


def expected(config: Config, real: dict[str, Any], *, valid: bool) -> str:
    """The verdict that mlx-lm's real conduct asks for, in a word or two."""
    if "signal" in real:
        return "crashes"
    if "error" in real:
        where = " in its first forward pass" if real["stage"] == "forward" else ""
        return f"refuses: {real['error'].partition(':')[0]}{where}"
    if "transformer.layers.0.attn.qkv_proj.weight" not in real["shapes"]:
        return "refuses: no OpenELM"
    if valid:
        same = real["finite"] is not False and meant(config) == real["shapes"]
    else:
        same = as_listed(config, real)
    return "same" if same else "another"


def said(verdict: Any) -> str:
    """A verdict of elmcfg, in the words of :func:`expected`."""
    outcome = {"same model": "same", "crashes the process": "crashes"}.get(str(verdict.outcome))
    if outcome:
        return outcome
    if str(verdict.outcome) != "refuses":
        return "another"
    match = re.match(r"stops at an? (\w+)( in its first forward pass)?", verdict.message)
    return f"refuses: {match[1]}{match[2] or ''}" if match else "refuses: no OpenELM"


def right(verdict: str, wanted: str) -> bool:
    """Whether a verdict is right; of another type of model it may only be said that it is one."""
    other_type = verdict == "refuses: no OpenELM" and wanted.startswith("refuses")
    return verdict == wanted or other_type


def judged(config: Config) -> tuple[bool, Any, str]:
    """Whether elmcfg has a config as valid, its verdict on mlx-lm, and an internal error."""
    from elmcfg.document import parse
    from elmcfg.linter import check, diagnose
    from elmcfg.portability import TARGETS, verdicts
    from elmcfg.portability.judging import verdict_on_broken

    try:
        document = parse(json.dumps(config), "config.json")
        diagnose(document, targets=tuple(TARGETS))
        valid = check(document)[0]
        if valid is not None:
            found = {v.target: v for v in verdicts(valid, tuple(TARGETS), config)}
            return True, found["mlx-lm"], ""
        return False, verdict_on_broken(config), ""
    except Exception:  # the very thing that is looked for
        return False, None, traceback.format_exc(limit=-2)


def run(number: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Judge configs. Returns the outcomes and what is wrong, one text for each fault."""
    made = list(configs(seed, number))
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for config, real in zip(made, asked_of(made, [sys.executable, _MLX_LM]), strict=True):
        valid, verdict, error = judged(config)
        if error:
            counts["internal error"] += 1
            faults.append(f"internal error: {json.dumps(config)[:1000]}\n{error}")
            continue
        kind = "valid" if valid else "broken"
        wanted = expected(config, real, valid=valid)
        counts[f"{kind}, mlx-lm {wanted}"] += 1
        if real.get("finite", 1) is None and "NaN" in verdict.message:
            counts["too large to compute"] += 1
        elif not right(said(verdict), wanted):
            counts["wrong"] += 1
            faults.append(fault(config, verdict, f"({kind}) mlx-lm: {wanted}", real))
    return counts, faults


def asked_of(made: list[Config], command: list[str]) -> Iterator[dict[str, Any]]:
    """What a program that reads configs and prints outcomes says of these."""
    child = subprocess.run(
        command, input=json.dumps(made), capture_output=True, text=True, check=True
    )
    return map(json.loads, child.stdout.splitlines())


def fault(config: Config, verdict: Any, wanted: str, real: dict[str, Any]) -> str:
    """What is said of a wrong verdict."""
    shown = json.dumps({k: v for k, v in real.items() if k != "shapes"})
    return (
        f"wrong: {said(verdict)}, but {wanted}\n  {json.dumps(config)[:1000]}"
        f"\n  {verdict.message}\n  {shown}"
    )


def hub_expected(config: Config, real: dict[str, Any]) -> str:
    """The verdict that the real conduct of the hub's code asks for."""
    if "error" in real:
        return "refuses"
    wanted = meant(config)
    context = config.get("max_context_length", 2048)
    tokens = min(6, config["vocab_size"])
    assert real["tokens"] == tokens, "the logits are cut along the sequence"
    unused = ("transformer.classifier.weight", "lm_head.weight")
    built = {name: shape for name, shape in real["shapes"].items() if name not in unused}
    if not real["tied"]:
        built["lm_head.weight"] = real["shapes"]["lm_head.weight"]
    same = built == wanted and config.get("rms_norm_eps", 1e-6) == 1e-6
    return "same" if same and context <= config["vocab_size"] else "another"


def run_hub_code(
    number: int, seed: int, folder: str, python: str
) -> tuple[Counter[str], list[str]]:
    """Judge the valid configs by the hub's own code."""
    import elmcfg
    from elmcfg.portability import verdicts

    made: list[Config] = []
    for i, config in enumerate(configs(seed, number)):
        if i % 2 and isinstance(config.get("vocab_size"), int):
            config["max_context_length"] = min(max(config["vocab_size"], 1), 64)
            config.setdefault("normalize_qk_projections", True)
        valid, _, error = judged(config)
        if valid and not error and _is_small(config):
            made.append(config)
    script = str(Path(__file__).parents[1] / "real_hub_code.py")
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for config, real in zip(made, asked_of(made, [python, script, folder]), strict=True):
        known = {k: v for k, v in config.items() if k in elmcfg.Config.model_fields}
        verdict = verdicts(elmcfg.Config.model_validate(known), ["hf"], config)[0]
        wanted, word = hub_expected(config, real), said(verdict).partition(":")[0]
        counts[f"valid, hub's code {wanted}"] += 1
        name = real.get("error", "").partition(":")[0]
        if word != wanted or (wanted == "refuses" and not _same_error(name, verdict.message, real)):
            counts["wrong"] += 1
            faults.append(fault(config, verdict, f"the hub's code: {wanted}", real))
    return counts, faults


def _is_small(config: Config) -> bool:
    """Whether a model, with the tables that the hub's code keeps, takes a few MB."""
    tables = [config.get("max_context_length", 2048), config.get("rope_max_length", 4096)]
    if max(*tables, config["head_dim"], config["model_dim"], config["vocab_size"]) > 2**13:
        return False
    return sum(math.prod(shape) for shape in meant(config).values()) < 3_000_000


def _same_error(name: str, message: str, real: dict[str, Any]) -> bool:
    return f" {name}:" in message or (real["stage"] == "forward" and "first forward" in message)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--configs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hub-code", help="folder of configuration_ and modeling_openelm.py")
    parser.add_argument("--python", default=sys.executable, help="that has torch and transformers")
    asked = parser.parse_args()
    if asked.hub_code:
        counts, faults = run_hub_code(asked.configs, asked.seed, asked.hub_code, asked.python)
    else:
        counts, faults = run(asked.configs, asked.seed)
    print("\n".join(faults))
    for outcome, times in sorted(counts.items()):
        print(f"{times:7,}  {outcome}")
    sys.exit(bool(faults))
