"""A training step of a 20M-parameter variant: elmcfg's trainer against mlx-lm's own.

Both start from the same weights and take the same batches, with AdamW on the same learning rates,
in turns in one process. mlx-lm's is its function ``train`` on its OpenELM. Its AdamW clips
gradients first, as elmcfg's does, and it keeps MLX's cache of memory, which by default it empties
after each step: that makes it slower.

On a GPU both compute in bfloat16, where elmcfg does more: its weights and its optimiser stay
float32, while mlx-lm's are bfloat16 too. On a CPU both are float32.

The last row is a whole run of ``elmcfg.training.train``: batches, learning curve and all.

Model FLOPs utilisation is relative to one large matrix product on the same device.

Needs elmcfg and its dependencies, MLX, and mlx-lm's files (its own dependencies are not needed).

    python benchmarks/train.py [--rounds 6] [--steps N] [--batch B] [--seq-len L]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measuring import compared

sys.path.insert(0, str(Path(__file__).parent.parent))
# Imported so, everywhere at once, because MLX leaves much of itself untyped.
mx: Any = importlib.import_module("elmcfg.backend").import_mlx()
optim: Any = importlib.import_module("mlx.optimizers")
tree_flatten: Any = importlib.import_module("mlx.utils").tree_flatten

from elmcfg.backend import on_gpu  # noqa: E402
from elmcfg.config import Config, resolve  # noqa: E402
from elmcfg.model import as_dtype, build  # noqa: E402
from elmcfg.speed import matmul_flops_per_second  # noqa: E402
from elmcfg.training import CorpusSpec, TrainingSettings, read_corpus, train  # noqa: E402
from elmcfg.training.batches import training_batch  # noqa: E402
from elmcfg.training.initialisation import initialise  # noqa: E402
from elmcfg.training.optimisation import Trainer, learning_rates  # noqa: E402
from elmcfg.training.utilisation import model_flops_utilisation  # noqa: E402

GOAL = 0.97
CONFIG = Config(
    num_transformer_layers=14, model_dim=384, head_dim=64, vocab_size=256, num_gqa_groups=2,
    qkv_multipliers=(0.5, 1.0), ffn_multipliers=(0.5, 4.0), ffn_dim_divisor=64,
)  # fmt: skip


def module(name: str, **values: Any) -> types.ModuleType:
    """A module in the place of another one."""
    made = types.ModuleType(name)
    vars(made).update(values)
    sys.modules[name] = made
    return made


def mlx_lm() -> tuple[Any, Any]:
    """mlx-lm's OpenELM and trainer, without its progress bar and what the rest of it needs."""
    spec = importlib.util.find_spec("mlx_lm")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("train.py: mlx-lm is not installed")
    places = list(spec.submodule_search_locations)
    module("mlx_lm").__path__ = places
    module("mlx_lm.tuner").__path__ = [str(Path(place) / "tuner") for place in places]
    module("mlx_lm.tuner.datasets", CacheDataset=object)
    module("mlx_lm.utils", maybe_set_recommended_wired_limit=lambda: None)
    module("mlx_lm.cli_ui", TrainUI=Silence, rprint=print)
    return (
        importlib.import_module("mlx_lm.models.openelm"),
        importlib.import_module("mlx_lm.tuner.trainer"),
    )


class Silence:
    """A progress bar that shows nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *_: object) -> None: ...
    def advance(self) -> None: ...


class Clipping(optim.AdamW):  # type: ignore[misc]
    """AdamW that shortens long gradients; mlx-lm's trainer has no setting for that."""

    longest: float

    def update(self, model: Any, gradients: Any) -> None:
        super().update(model, optim.clip_grad_norm(gradients, self.longest)[0])


def in_turns(
    settings: TrainingSettings, dtype: str, rounds: int, steps: int
) -> dict[str, list[float]]:
    """Seconds per step of each trainer, one figure per round; the first, which compiles, is out."""
    corpus, shape = read_corpus(CorpusSpec()), (settings.batch_size, settings.seq_len)

    def batches(index: int) -> Iterator[Any]:
        for step in range(index * steps, (index + 1) * steps):
            yield mx.array(training_batch(corpus, settings, seed=0, step=step))

    model: Any = build(CONFIG)
    initialise(model, 0)
    mx.eval(model.parameters())
    openelm, tuner = mlx_lm()
    values = resolve(CONFIG).model_dump(exclude_none=True)
    theirs = openelm.Model(openelm.ModelArgs.from_dict(values))
    theirs.load_weights(tree_flatten(model.parameters()), strict=True)
    theirs.set_dtype(as_dtype(dtype))
    optimizer = Clipping(
        learning_rates(settings),
        betas=[settings.beta1, settings.beta2],
        weight_decay=settings.weight_decay,
        bias_correction=True,
    )
    optimizer.longest = settings.gradient_clip_norm
    ours = Trainer(model, settings, as_dtype(dtype))
    lengths = mx.array([[0, shape[1]]] * shape[0])
    seconds: dict[str, list[float]] = {"elmcfg": [], "mlx-lm": []}

    def losses(batch: Any) -> str:
        mine = ours.total_loss(batch) / (shape[0] * shape[1])
        return f"elmcfg {mine:.3f}, mlx-lm {tuner.default_loss(theirs, batch, lengths)[0]:.3f}"

    def our_turn(index: int) -> None:
        began = time.perf_counter()
        mx.eval([ours.step(batch) for batch in batches(index)], ours.state)
        seconds["elmcfg"].append((time.perf_counter() - began) / steps)

    def turns(**_: Any) -> Iterator[tuple[Any, Any]]:
        """What mlx-lm asks for: its batches. Our turns are taken while it waits for the next."""
        for index in range(rounds + 1):
            # Each goes first as often as the other.
            if index % 2:
                our_turn(index)
            began = time.perf_counter()
            for batch in batches(index):
                yield batch, lengths
            seconds["mlx-lm"].append((time.perf_counter() - began) / steps)
            if not index % 2:
                our_turn(index)

    same = next(batches(rounds + 1))
    print(f"loss of the same batch before: {losses(same)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tuner.train(
            theirs,
            optimizer,
            [],
            args=tuner.TrainingArgs(
                batch_size=shape[0],
                iters=(rounds + 1) * steps + 1,  # The batches end first, and after a turn of ours.
                steps_per_report=2**62,
                steps_per_save=2**62,
                adapter_file=str(Path(folder) / "weights.safetensors"),
                clear_cache_threshold=2**62,
            ),
            iterate_batches=turns,
        )
    print(f"after {(rounds + 1) * steps} steps: {losses(same)}")
    return {name: found[1:] for name, found in seconds.items()}


def main() -> int:
    gpu = on_gpu()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=6, help="measured rounds of each")
    parser.add_argument("--steps", type=int, default=20 if gpu else 2, help="steps in a round")
    parser.add_argument("--batch", type=int, default=32 if gpu else 8, help="sequences in a step")
    parser.add_argument("--seq-len", type=int, default=256 if gpu else 128, help="of a sequence")
    arguments = parser.parse_args()

    dtype = "bfloat16" if gpu else "float32"
    steps = (arguments.rounds + 1) * arguments.steps
    settings = TrainingSettings(
        steps=steps,
        batch_size=arguments.batch,
        seq_len=arguments.seq_len,
        dtype=dtype,
        eval_every=steps,
        validation_tokens=arguments.batch * arguments.seq_len,
    )
    tokens = arguments.batch * arguments.seq_len
    device = mx.device_info(mx.default_device()).get("device_name", "CPU")
    peak = matmul_flops_per_second(dtype=dtype)
    print(
        f"{device}, MLX {version('mlx')}, {dtype}: one large matrix product "
        f"{peak / 1e12:.2f} TFLOP/s"
    )
    seconds = in_turns(settings, dtype, arguments.rounds, arguments.steps)
    whole = train(CONFIG, settings, CorpusSpec(), seed=0).tokens_per_second

    show: Callable[[float], str] = lambda rate: (  # noqa: E731
        f"{rate:13,.0f}{model_flops_utilisation(CONFIG, arguments.seq_len, rate, peak):7.1%}"
    )
    print(f"\nbatches of {arguments.batch} x {arguments.seq_len} tokens:")
    print(f"{'':14}{'ms per step':>12}{'spread':>18}{'tokens/s':>13}{'MFU':>7}")
    for name, found in seconds.items():
        middle = statistics.median(found)
        spread = f"{min(found) * 1e3:.2f}-{max(found) * 1e3:.2f}"
        print(f"{name:14}{middle * 1e3:12.2f}{spread:>18}{show(tokens / middle)}")
    if whole is not None:
        print(f"{'elmcfg train()':14}{tokens / whole * 1e3:12.2f}{'':18}{show(whole)}")
    # Of each round by itself, since other work on the machine slows both of a round alike.
    ours, theirs = seconds["elmcfg"], seconds["mlx-lm"]
    compared(f"a training step of 20M, {tokens:,} tokens", "mlx-lm's trainer", ours, theirs)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    met = ratio >= GOAL
    print(f"\nelmcfg {ratio:.2f}x mlx-lm; goal: {GOAL:g}x: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
