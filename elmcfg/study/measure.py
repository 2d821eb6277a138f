"""What each kind of job does, in a process of its own that imports MLX.

Costs are not among them: :mod:`elmcfg.study.running` takes them from the variants.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from elmcfg.backend import import_mlx
from elmcfg.config import Config

SPEED_TOKENS = 256
"""Of a prompt whose reading is timed, where the context is not shorter."""

Note = Callable[[str], None]
Result = dict[str, Any]


def measure(job: dict[str, Any], note: Note) -> Result:
    """Do a job.

    Args:
        job: What :meth:`elmcfg.study.jobs.Job.values` gave.
        note: Called with what begins, in a few words.

    Returns:
        The record's ``result``.

    Raises:
        ValueError: If it cannot be done as asked.
        MemoryError: If it would not fit.
        BackendError: If MLX cannot be loaded.
    """
    kind: str = job["kind"]
    if kind == "product":  # No record's: an estimate asks for it.
        import_mlx()
        from elmcfg.speed import matmul_flops_per_second
        from elmcfg.training.loop import compute_dtype
        from elmcfg.training.settings import TrainingSettings

        dtype = compute_dtype(TrainingSettings())
        return {"flops_per_second": matmul_flops_per_second(dtype=dtype)}
    config = Config.model_validate(job["config"])
    does = {"proof": _proof, "speed": _speed, "training": _training}[kind]
    return does(config, job, note)


def device() -> str:
    """The device that MLX uses here, for people."""
    mx = import_mlx()
    from elmcfg.proof.device import describe

    return describe(mx.default_device())


def _proof(config: Config, job: dict[str, Any], note: Note) -> Result:
    from elmcfg.proof.options import Options
    from elmcfg.proof.report import CheckStarted, Event, Step
    from elmcfg.proof.runner import run

    running = ""

    def tell(event: Event) -> None:
        nonlocal running
        if isinstance(event, CheckStarted):
            running = event.name
            note(running)
        elif isinstance(event, Step):
            note(f"{running}: {event.text}" if running else event.text)

    return run(config, Options.of(job["settings"]), tell).values()


def prompt_tokens(config: Config, settings: Mapping[str, Any]) -> int:
    """How many tokens the prompt has whose reading is timed.

    Args:
        config: The model.
        settings: Of :class:`elmcfg.study.plan.Speed`, as plain values.
    """
    room = config.max_context_length - int(settings["decode_tokens"])
    return int(settings["seq_len"] or max(1, min(SPEED_TOKENS, room)))


def _speed(config: Config, job: dict[str, Any], note: Note) -> Result:
    """Tokens per second of reading a prompt and of going on from it, the best of some runs."""
    mx = import_mlx()
    from elmcfg.model.build import build
    from elmcfg.model.cache import KVCache
    from elmcfg.proof.device import choose_device, describe

    how = job["settings"]
    more = how["decode_tokens"]
    length = prompt_tokens(config, how)
    if length + more > config.max_context_length:
        raise ValueError(
            f"seq_len {length} and decode_tokens {more} are beyond max_context_length "
            f"{config.max_context_length}"
        )
    chosen = choose_device(how["device"])
    with mx.stream(chosen):
        mx.reset_peak_memory()
        model = build(config, dtype=how["dtype"], seed=0)
        prompt = mx.arange(length)[None] % config.vocab_size
        reading, writing = [], []
        for run in range(how["runs"] + 1):
            note("warming up" if not run else f"run {run} of {how['runs']}")
            cache = [KVCache() for _ in model.layers]
            began = time.perf_counter()
            token = mx.argmax(model(prompt, cache)[:, -1:], axis=-1)
            mx.eval(token)
            read = time.perf_counter()
            for _ in range(more):
                token = mx.argmax(model(token, cache)[:, -1:], axis=-1)
                mx.eval(token)
            if run:  # The first one compiles.
                reading.append(read - began)
                writing.append(time.perf_counter() - read)
    return {
        "prefill_tokens_per_second": length / min(reading),
        "decode_tokens_per_second": more / min(writing),
        "peak_memory_bytes": mx.get_peak_memory(),
        "seq_len": length,
        "decode_tokens": more,
        "runs": how["runs"],
        "dtype": how["dtype"],
        "device": describe(chosen),
    }


def _training(config: Config, job: dict[str, Any], note: Note) -> Result:
    from elmcfg.training import (
        CorpusError,
        CorpusSpec,
        Progress,
        TrainingSettings,
        by_content,
        train,
    )
    from elmcfg.training.corpora import OWN

    corpus = CorpusSpec(**job["corpus"])

    def tell(said: Progress) -> None:
        score = "" if said.bits_per_byte is None else f", {said.bits_per_byte:.3f} bits per byte"
        note(f"step {said.step} of {said.steps}, loss {said.loss:.3f}{score}")

    note("reading the corpus")
    if by_content(corpus) != job["content"]:
        package = OWN.get(corpus.source)
        alike = "" if package is None else f"install the same {package} on every machine, or "
        raise CorpusError(
            f"corpus {corpus.source}: the text or its tokenizer is not what the study began with, "
            f"and other runs were trained on that; {alike}go on with --resume, which trains all of "
            "them on the text as it is now"
        )
    return train(
        config,
        TrainingSettings(**job["settings"]),
        corpus,
        seed=job["seed"],
        folder=None if job["folder"] is None else Path(job["folder"]),
        progress=tell,
    ).to_dict()
