"""The options of ``elmcfg scale``: how each is written, and what they are called together."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import click

from elmcfg import units
from elmcfg.cli.common import Function
from elmcfg.cli.parameters import (
    HARDWARE,
    INDICES,
    ONE_LINE,
    TIME,
    TOKENS,
    Written,
    whole_number,
)
from elmcfg.costs import DTYPE_BYTES
from elmcfg.search.budgets import QUANTITIES, WEIGHT_BYTES, quantity


def _values(text: str, number: Callable[[str], float]) -> Any:
    """``16`` as itself, ``8:48:4`` as a range."""
    parts = [number(part) for part in text.split(":")]
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 3:
        raise ValueError(f"{text!r} is not a range such as 8:48 or 8:48:4")
    return dict(zip(("from", "to", "step"), parts, strict=False))


def _whole(text: str) -> Any:
    """An int, a list of ints, or a mapping with ``from``, ``to`` and maybe ``step``."""
    try:
        parts = text.split(",")
        return _values(text, whole_number) if len(parts) == 1 else [*map(whole_number, parts)]
    except ValueError as error:
        raise ValueError(f"{error}; write 16, or for a search 12,16,20 or 8:48:4") from None


def _multipliers(text: str) -> tuple[Any, ...]:
    """A float or a mapping with ``from``, ``to`` and maybe ``step`` for each control point."""
    try:
        return tuple(_values(part, float) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a list of numbers such as 0.5,1.0, or for a search of ranges such "
            "as 0.5:1:0.05"
        ) from None


def _decimals(text: str) -> int | str:
    try:
        return "none" if text == "none" else int(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a whole number nor none") from None


class Amount(NamedTuple):
    """An amount of a cost, or a share of what the model named by ``--from`` has."""

    value: Fraction
    relative: bool
    text: str


def _amount(unit: str) -> Written[Amount]:
    """``600M``, ``48MiB``, ``2e18`` or, with ``--from``, ``60%``."""
    return Written(
        "AMOUNT", lambda text: Amount(units.amount(text, unit), text.endswith("%"), text)
    )


WHOLE = Written("N|RANGE", _whole)
MULTIPLIERS = Written("NUMBERS", _multipliers)
DECIMALS = Written("N|none", _decimals)
SHARE = Written("SHARE", units.fraction)
COST = Written("COST", lambda text: quantity(text).name)


def _together(*decorators: Callable[[Function], Function]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


option = click.option

recipe_options = _together(
    option("--from", "base", metavar="CONFIG", help="Begin with the recipe of this variant."),
    option(
        "--select-layers", type=INDICES,
        help="With --from: keep these layers as they are, as CoreNet prunes.",
    ),
    option("--profile", metavar="NAME", help="A named schedule; see --list-profiles."),
    option(
        "--layers", "--num-transformer-layers", "num_transformer_layers", type=WHOLE,
        help="Number of layers.",
    ),
    option("--model-dim", type=WHOLE, help="Width of the residual stream."),
    option("--head-dim", type=WHOLE, help="Width of a head; even.  [default: 64]"),
    option(
        "--queries-per-kv-head", "--num-gqa-groups", "num_gqa_groups", type=WHOLE,
        help="Query heads that share one KV head; 1 is multi-head attention.  [default: 4]",
    ),
    option(
        "--qkv-multipliers", type=MULTIPLIERS,
        help="Query width over model_dim: control points from the first to the last layer.  "
        "[default: 0.5,1.0]",
    ),
    option(
        "--ffn-multipliers", type=MULTIPLIERS,
        help="Feed-forward width over model_dim, likewise.  [default: 0.5,4.0]",
    ),
    option(
        "--ffn-dim-divisor", type=WHOLE,
        help="Feed-forward widths are multiples of this.  [default: 256]",
    ),
    option("--decimals", type=DECIMALS, help="Rounding of the multipliers.  [default: 2]"),
    option(
        "--frame-qkv-multiplier", type=float,
        help="Force the first and last QKV multiplier to this.",
    ),
    option(
        "--frame-ffn-multiplier", type=float,
        help="Force the first and last FFN multiplier to this.",
    ),
)  # fmt: skip

model_options = _together(
    option("--vocab-size", type=int, help="Vocabulary.  [default: 32000]"),
    option("--ffn-with-glu/--no-ffn-with-glu", default=None, help="Gate in the feed-forward."),
    option(
        "--normalize-qk-projections/--no-normalize-qk-projections", default=None, help="QK norm."
    ),
    option(
        "--share-input-output-layers/--no-share-input-output-layers", default=None,
        help="Tied embeddings.",
    ),
    option("--rope-freq-constant", type=float, help="Base of the rotary frequencies."),
    option(
        "--rope-max-length", type=int,
        help="Length of the rotary table; where not given, at least that of the context.",
    ),
    option("--max-context-length", type=int, help="Longest sequence."),
    option("--rms-norm-eps", type=float, help="Epsilon of RMSNorm."),
    option(
        "--torch-dtype", type=click.Choice(list(DTYPE_BYTES)),
        help="Type of the weights.",
    ),
    option("--name", type=ONE_LINE, help="Name of the variant."),
    option("--description", type=ONE_LINE, help="What it is for."),
)  # fmt: skip

_SHOWN = {"target_params", "min_params", "max_params", "max_kv_cache"}


def limit_options(function: Function) -> Function:
    """``--target-COST``, ``--min-COST`` and ``--max-COST`` of every cost that can be bounded."""
    for cost in reversed(list(QUANTITIES.values())):
        if cost.name in ("layers", "model-dim"):
            continue  # they have ranges of their own
        for kind in ("max", "min", "target"):
            name = f"{kind}_{cost.name.replace('-', '_')}"
            summary = {"max": "At most", "min": "At least", "target": "About"}[kind]
            function = option(
                f"--{kind}-{cost.name}",
                name,
                type=_amount(cost.unit),
                hidden=name not in _SHOWN,
                help=f"{summary} this much: {cost.summary}.",
            )(function)
    return function


search_options = _together(
    limit_options,
    option("--tolerance", type=SHARE, default="0.1%", show_default=True, help="Of the targets."),
    option(
        "--context-length", type=TOKENS,
        help="Tokens in the KV cache, and the least context of the design.  "
        "[default: max_context_length]",
    ),
    option("--batch-size", type=click.IntRange(1, 2**20), default=1, help="Sequences in it."),
    option("--cache-dtype", type=click.Choice(list(WEIGHT_BYTES)),
           help="Type of its numbers.  [default: bfloat16]"),
    option("--weight-dtype", type=click.Choice(list(WEIGHT_BYTES)),
           help="Type or quantization of the weights.  [default: torch_dtype]"),
    option("--training-tokens", type=_amount("tokens"), help="Tokens that training-flops counts."),
    option("--multiple-of", type=click.IntRange(min=1), default=1,
           help="Every width of every layer is a multiple of this."),
    option("--space", metavar="NAME|FILE", help="What to search.  [default: default]"),
    option("--free", type=click.Choice(["any", "rising", "falling"]),
           help="Every layer's widths chosen on their own, in any or a given order."),
    option("--time-limit", type=TIME,
           help="Of a free search, in seconds of the solver's work.  [default: 60]"),
    option("--minimize", type=COST, help="Best is the least of this cost."),
    option("--maximize", type=COST, help="Best is the most of this cost."),
    option("--like", metavar="CONFIG",
           help="Between equals the most like this one.  [default: the released models]"),
    option("--pareto", metavar="COST,COST", help="All trade-offs between two or three costs."),
    option("--count", type=click.IntRange(1, 1000), help="How many designs to give."),
    option("--plot", type=click.Path(path_type=Path, dir_okay=False),
           help="Draw the front (.svg, .png or .pdf)."),
    option("--hardware", type=HARDWARE,
           help="Bound the times of prefill and decode on this machine."),
)  # fmt: skip


class Command(click.Command):
    """A command whose options are listed in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Recipe, model, budget, output."""
        sections = {"base": "Recipe", "vocab_size": "Model", "target_params": "Budget and search",
                    "output": "Output"}  # fmt: skip
        rows: dict[str, list[tuple[str, str]]] = {}
        current = ""
        for parameter in self.get_params(ctx):
            current = sections.get(parameter.name or "", current)
            record = parameter.get_help_record(ctx)
            if record is not None:
                rows.setdefault(current, []).append(record)
        for title, records in rows.items():
            with formatter.section(title):
                formatter.write_dl(records)
        with formatter.section("Costs"):
            formatter.write_text(
                "Each has --min-COST, --max-COST and --target-COST, but layers and model-dim. "
                "Amounts are written 600M, 48MiB or 2e18, and with --from also 60%."
            )
            formatter.write_dl([(q.name, f"{q.summary}; {q.unit}") for q in QUANTITIES.values()])
