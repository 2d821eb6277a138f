"""What other programs do with a config: build the same model, refuse, crash, or build another one.

Each reader is a module with a function ``read``: the program's own rule, from the values of a
``config.json`` to the model that it builds. The verdict is the comparison with the model that the
config means. What surrounds the shapes (tokenizer, ``auto_map``, ``architectures``) is not looked
at.

No program but this one reads YAML. A variant file is therefore judged by the ``config.json`` that
``elmcfg scale --format hub`` writes for it, a ``config.json`` by what stands in it.

Importing this package loads no reader: the command line needs the names alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.diagnostics import Violation
    from elmcfg.portability.verdict import Verdict

TARGETS: Mapping[str, str] = {
    "mlx-lm": "mlx_lm",
    "hf": "hf",
    "llama.cpp": "llama_cpp",
    "corenet": "corenet",
    "mlx-swift": "mlx_swift",
}
"""The module of every program, by the name that ``--target`` takes."""


def targets(names: Iterable[str]) -> tuple[str, ...]:
    """Names of programs, each once, with ``all`` spelt out.

    Raises:
        ValueError: If a name is unknown; names a near one.
    """
    given = tuple(dict.fromkeys(names))
    for name in given:
        if name != "all" and name not in TARGETS:
            from difflib import get_close_matches  # only a mistake needs it

            known = [*TARGETS, "all"]
            close = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"
            raise ValueError(f"unknown program {name!r}; {hint}")
    return tuple(TARGETS) if "all" in given else given


def verdicts(
    config: Config, targets: Iterable[str] = tuple(TARGETS), values: Mapping[str, Any] | None = None
) -> list[Verdict]:
    """What each program does with a valid config.

    Args:
        config: The config.
        targets: Names of :data:`TARGETS`.
        values: The ``config.json`` as it stands; what ``--format hub`` writes where not given.

    Raises:
        KeyError: If a target is unknown.
    """
    from elmcfg.portability import judging

    return judging.verdicts(config, targets, values)


def violations(
    config: Config | None, targets: Iterable[str], given: Mapping[str, Any], *, as_json: bool
) -> list[Violation]:
    """The verdicts as findings.

    Args:
        config: The config, or ``None`` where it is not valid.
        targets: Names of :data:`TARGETS`.
        given: The values that stand in the file.
        as_json: Whether the file is a ``config.json``, which those programs can read.

    Raises:
        KeyError: If a target is unknown.
    """
    from elmcfg.portability import judging

    return judging.violations(config, targets, given, as_json=as_json)
