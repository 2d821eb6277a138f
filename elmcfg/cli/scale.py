"""``elmcfg scale``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from elmcfg import __version__
from elmcfg.cli.common import fail, format_option, note, quiet_option, say
from elmcfg.config import Config
from elmcfg.costs import cost
from elmcfg.diagnostics import InvalidConfigError
from elmcfg.document import write_atomically
from elmcfg.formats import hub, variant
from elmcfg.render import machine
from elmcfg.scaling import scale

_SPELLINGS = {"num_transformer_layers": "--layers", "num_gqa_groups": "--queries-per-kv-head"}


class _Numbers(click.ParamType[tuple[float, ...]]):
    """``0.5,1.0``: numbers with commas between."""

    name = "NUMBERS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 0.5,1.0", param, ctx)


class _Decimals(click.ParamType[int | str]):
    """A whole number, or ``none`` for no rounding."""

    name = "N|none"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        try:
            return "none" if value == "none" else int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor none", param, ctx)


@click.command("scale")
@click.option(
    "--layers", "--num-transformer-layers", "num_transformer_layers", type=int, required=True,
    help="Number of layers.",
)  # fmt: skip
@click.option("--model-dim", type=int, required=True, help="Width of the residual stream.")
@click.option("--head-dim", type=int, default=64, show_default=True, help="Width of a head; even.")
@click.option(
    "--queries-per-kv-head", "--num-gqa-groups", "num_gqa_groups", type=int, default=4,
    show_default=True, help="Query heads that share one KV head; 1 is multi-head attention.",
)  # fmt: skip
@click.option(
    "--qkv-multipliers", type=_Numbers(), default="0.5,1.0", show_default=True,
    help="Query width over model_dim: control points from the first to the last layer.",
)  # fmt: skip
@click.option(
    "--ffn-multipliers", type=_Numbers(), default="0.5,4.0", show_default=True,
    help="Feed-forward width over model_dim, likewise.",
)  # fmt: skip
@click.option(
    "--ffn-dim-divisor", type=int, default=256, show_default=True,
    help="Feed-forward widths are multiples of this.",
)  # fmt: skip
@click.option("--vocab-size", type=int, default=32000, show_default=True, help="Vocabulary.")
@click.option("--ffn-with-glu/--no-ffn-with-glu", default=None, help="Gate in the feed-forward.")
@click.option(
    "--normalize-qk-projections/--no-normalize-qk-projections", default=None, help="QK norm."
)
@click.option(
    "--share-input-output-layers/--no-share-input-output-layers", default=None,
    help="Tied embeddings.",
)  # fmt: skip
@click.option("--rope-freq-constant", type=float, help="Base of the rotary frequencies.")
@click.option("--rope-max-length", type=int, help="Length of the rotary table.")
@click.option("--max-context-length", type=int, help="Longest sequence.")
@click.option("--rms-norm-eps", type=float, help="Epsilon of RMSNorm.")
@click.option(
    "--torch-dtype", type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Type of the weights.",
)  # fmt: skip
@click.option("--name", help="Name of the variant.")
@click.option("--description", help="What it is for.")
@click.option("--decimals", type=_Decimals(), help="Rounding of the multipliers.  [default: 2]")
@click.option(
    "--frame-qkv-multiplier", type=float, help="Force the first and last QKV multiplier to this."
)
@click.option(
    "--frame-ffn-multiplier", type=float, help="Force the first and last FFN multiplier to this."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file.")
@click.option("--force", is_flag=True, help="Replace the output file if it is there.")
@format_option("yaml", "json", "hub")
@quiet_option
def command(output: Path | None, force: bool, format_: str, quiet: bool, **flags: Any) -> None:
    """Make a layer-wise-scaled variant from a recipe, as YAML or as a hub config.json.

    The multipliers run from the first layer to the last: two numbers are OpenELM's layer-wise
    scaling, one is the same for every layer, more are control points in between. Widths are
    rounded as CoreNet rounds them, so the released recipes give the released lists.

    \b
    Examples:
      elmcfg scale --layers 16 --model-dim 1280
      elmcfg scale --layers 36 --model-dim 3072 --head-dim 128 --format hub -o config.json
      elmcfg scale --layers 16 --model-dim 1280 --qkv-multipliers 0.8 --ffn-multipliers 2.3
      elmcfg scale --layers 18 --model-dim 768 --ffn-multipliers 0.5,3.8,0.5 --decimals none

    Exit codes: 0 written, 2 the flags make no valid config.
    """
    config = _config(flags)
    spent = cost(config)
    text = {
        "yaml": lambda: _header(sys.argv[1:], config) + variant.dump(config),
        "hub": lambda: hub.dump(config),
        "json": lambda: machine.text(machine.scaled(config, spent)) + "\n",
    }[format_]()
    if output is None:
        say(text.removesuffix("\n"))
        return
    try:
        write_atomically(output, text, overwrite=force)
    except FileExistsError:
        fail(f"{output}: there is a file already; --force replaces it", 2)
    except OSError as error:
        fail(f"{output}: cannot be written: {error.strerror}", 2)
    if not quiet:
        note(f"wrote {output}: {spent.parameters.total:,} parameters")


def _config(flags: dict[str, Any]) -> Config:
    given = {key: value for key, value in flags.items() if value is not None}
    options = {
        key: None if value == "none" else value
        for key in ("decimals", "frame_qkv_multiplier", "frame_ffn_multiplier")
        if (value := given.pop(key, None)) is not None
    }
    try:
        return scale(**given, **({"schedule": options} if options else {}))  # type: ignore[arg-type]
    except InvalidConfigError as error:
        lines = []
        for d in error.diagnostics:
            key = str(d.loc[1 if len(d.loc) > 1 and d.loc[0] == "schedule" else 0]) if d.loc else ""
            flag = _SPELLINGS.get(key, f"--{key.replace('_', '-')}")
            lines.append(f"{flag}: {d.message}" + (f"; {d.help}" if d.help else ""))
        raise click.UsageError("\n".join(lines)) from None


def _header(arguments: list[str], config: Config) -> str:
    spent = cost(config)
    return (
        f"# elmcfg {shlex.join(arguments)}\n"
        f"# elmcfg {__version__}: {spent.parameters.total:,} parameters, "
        f"{spent.kv_cache_bytes_per_token:,} bytes of KV cache per token (2-byte dtype)\n"
    )
