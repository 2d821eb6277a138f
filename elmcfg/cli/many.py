"""Several configs in one call of ``build-and-run``: side by side, one row each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from elmcfg.cli.common import fail, framed, note, out_style, say
from elmcfg.diagnostics import has_errors
from elmcfg.formats.weight_files import weights_named_by
from elmcfg.linter import check
from elmcfg.proof import Options, Report, prove_all
from elmcfg.render import proof
from elmcfg.sources import SourceNotFoundError, discover, is_folder

if TYPE_CHECKING:
    from elmcfg.config import Config


def is_many(sources: Sequence[str]) -> bool:
    """Whether the arguments stand for several configs: more than one, or a folder of them."""
    first = sources[0]
    model = os.path.lexists(os.path.join(first, "config.json"))  # noqa: PTH118
    return len(sources) > 1 or (is_folder(first) and not model)


def prove_many(
    sources: Sequence[str], options: Options, timeout: float, *, as_json: bool, quiet: bool
) -> bool:
    """Prove them all and show a row each; whether all are proven."""
    named = _configs(sources)
    sound = [(path, config) for path, config in named if config is not None]

    def done(index: int, outcome: Report | Exception) -> None:
        if not quiet:
            word = "not proven"
            if isinstance(outcome, Report) and outcome.passed:
                word = "shapes hold" if outcome.shapes_only else "proven"
            note(f"elmcfg: {sound[index][0]}: {word}")

    proofs = iter(prove_all([config for _, config in sound], options, timeout=timeout, done=done))
    outcomes = [None if config is None else next(proofs) for _, config in named]
    unused = [weights_named_by(path) for path, _ in named]
    if as_json:
        from elmcfg.render import machine

        results = [
            machine.proof_of_many(path, config, outcome, weights)
            for (path, config), outcome, weights in zip(named, outcomes, unused, strict=True)
        ]
        say(machine.text({"results": results}))
    else:
        paths = [path for path, _ in named]
        say(proof.table(list(zip(paths, outcomes, strict=True)), out_style()))
        if there := list(filter(None, unused)):
            say(proof.weights_line(there, computed=not options.shapes_only))
    return all(isinstance(outcome, Report) and outcome.passed for outcome in outcomes)


def _configs(sources: Sequence[str]) -> list[tuple[str, Config | None]]:
    """Path and config of each; None, and its findings on standard error, where it has errors."""
    named: list[tuple[str, Config | None]] = []
    try:
        for document in discover(sources):
            config, found = check(document)
            if has_errors(found):
                say(framed(document, found), err=True)
            named.append((document.path, config))
    except SourceNotFoundError as error:
        fail(str(error), 2)
    return named
