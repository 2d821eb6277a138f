"""The child's side of a proof in a process of its own: ``python -m elmcfg.proof.worker``.

It takes jobs ``{"config": {...}, "options": {...}, "save": null}``, where "save" may name a folder
to write the model to, and the files of its tokenizer: nothing is proven then. How they are told is
in :mod:`elmcfg.children.channel`; its messages are:

    plan, started, step, result    the events of :mod:`elmcfg.proof.report`, as they happen
    report, saved                  the end of a job
    refused                        the end of a job that could not be run: "message", and in
                                   "error" the exception's type and its bases, nearest first
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from pathlib import Path
from typing import Any

from elmcfg.backend import BackendError, import_mlx
from elmcfg.children import Channel, jobs, open_channel
from elmcfg.proof.options import Options
from elmcfg.proof.report import CheckResult, CheckStarted, Event, Plan
from elmcfg.proof.runner import run


def main() -> None:
    """Serve jobs until standard input ends."""
    channel = open_channel()
    coming = jobs(channel)
    _get_ready()
    for job in coming:
        serve(job, channel)


def _get_ready() -> None:
    """Import what every job needs; what is missing is said by the job that misses it."""
    with contextlib.suppress(BackendError):
        import_mlx()
        importlib.import_module("elmcfg.model")
        importlib.import_module("elmcfg.config")


def serve(job: dict[str, Any], channel: Channel) -> None:
    """Run one job, and send its events and its end."""
    try:
        from elmcfg.config import Config

        config, options = Config.model_validate(job["config"]), Options.of(job["options"])
        if job["save"] is not None:
            from elmcfg.proof.saving import write_folder

            folder, *tokenizer = map(Path, job["save"])
            write_folder(config, options, folder, tokenizer)
            channel.send("saved")
            return
        report = run(config, options, lambda event: _tell(channel, event))
    except Exception as error:
        # An OSError's own text begins with its number.
        message = " ".join(str(getattr(error, "strerror", None) or error).split())
        kinds = [kind.__name__ for kind in type(error).__mro__]
        channel.send("refused", error=kinds, message=message)
    else:
        channel.send("report", **dataclasses.asdict(report))


def _tell(channel: Channel, event: Event) -> None:
    kinds: dict[type, str] = {Plan: "plan", CheckStarted: "started", CheckResult: "result"}
    channel.send(kinds.get(type(event), "step"), **dataclasses.asdict(event))


if __name__ == "__main__":
    main()
