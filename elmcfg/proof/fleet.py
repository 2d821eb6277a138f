"""Many proofs at once: a few warm children, each taking the next config when it is free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial
from typing import TYPE_CHECKING

from elmcfg.backend import has_gpu
from elmcfg.children import Crew
from elmcfg.cores import cores
from elmcfg.geometry import geometry
from elmcfg.proof.child import Child
from elmcfg.proof.free_memory import free_on_host
from elmcfg.proof.memory import PROCESS_BYTES, needs
from elmcfg.proof.options import DEFAULT_SEQ_LEN, Options
from elmcfg.proof.registry import CHECKS

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.proof.report import Report

Done = Callable[[int, "Report | Exception"], None]


def prove_all(
    configs: Sequence[Config],
    options: Options,
    *,
    timeout: float | None = None,
    done: Done | None = None,
) -> list[Report | Exception]:
    """Prove several configs, each in a child process, as many at once as cores and memory allow.

    Args:
        configs: Valid configs.
        options: How, for all of them.
        timeout: Most seconds for each; None for no limit.
        done: Called with the index and the outcome of each as it ends, in this thread.

    Returns:
        An outcome for each config, in order: its report, or why it could not be proven (one of
        the errors that :meth:`elmcfg.proof.Child.prove` raises).
    """
    outcomes: dict[int, Report | Exception] = {}
    crew = Crew(_children(configs, options), Child)
    prove = partial(_outcome, options=options, timeout=timeout)
    try:
        futures = {
            crew.submit(partial(prove, config)): index for index, config in enumerate(configs)
        }
        while futures:
            # Waiting with a timeout lets Ctrl-C through.
            for future in wait(futures, 0.2, FIRST_COMPLETED).done:
                index = futures.pop(future)
                outcomes[index] = future.result()
                if done is not None:
                    done(index, outcomes[index])
    finally:
        crew.close()
    return [outcomes[index] for index in range(len(configs))]


def _outcome(
    config: Config, child: Child, *, options: Options, timeout: float | None
) -> Report | Exception:
    try:
        return child.prove(config, options, timeout=timeout)
    except Exception as error:
        return error


def _children(configs: Sequence[Config], options: Options) -> int:
    """How many at once: one per core, fewer where memory is short, one that computes on a GPU."""
    wanted = [item.name for item in CHECKS if item.name not in options.skipped()]
    largest = max(
        (
            needs(
                geometry(config),
                dtype=options.dtypes()[0],
                seq_len=options.seq_len or DEFAULT_SEQ_LEN,
                batch_size=options.batch_size,
            ).peak(wanted)
            for config in configs
        ),
        default=0,
    )
    free = free_on_host()
    fitting = len(configs) if free is None else free // (largest + PROCESS_BYTES)
    if largest and (options.device == "gpu" or (options.device == "auto" and has_gpu())):
        fitting = 1
    return max(1, min(len(configs), cores(), fitting))
