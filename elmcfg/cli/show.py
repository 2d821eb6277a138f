"""``elmcfg show``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from elmcfg.cli.common import (
    complete_config,
    costs_arguments,
    dtype_options,
    fail,
    format_option,
    note,
    out_style,
    say,
    width,
)
from elmcfg.cli.parameters import HARDWARE, TOKENS
from elmcfg.config import Config
from elmcfg.costs import Cost
from elmcfg.geometry import geometry
from elmcfg.hardware import Machine, Roofline, of_model
from elmcfg.infer import infer
from elmcfg.render import beside, charts, tables
from elmcfg.render import machine as values
from elmcfg.sources import shipped


def _list_hardware(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        say(beside.machines())
        ctx.exit()


@click.command("show")
@click.argument("sources", nargs=-1, metavar="[CONFIG]...", shell_complete=complete_config)
@click.option(
    "--context-length",
    type=TOKENS,
    help="Tokens of context for the KV cache and the FLOPs.  [default: max_context_length]",
)
@dtype_options
@click.option(
    "--hardware",
    type=HARDWARE,
    help="Bound the times of prefill and decode on this machine, such as h100 or 400GB/s,14TFLOPS.",
)
@click.option(
    "--list-hardware", is_flag=True, is_eager=True, expose_value=False, callback=_list_hardware,
    help="Show the named machines, with sources.",
)  # fmt: skip
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw .svg, .png or .pdf."
)
@click.option("--force", is_flag=True, help="Replace the picture if it is there.")
@format_option("text", "json")
def command(
    sources: tuple[str, ...],
    context_length: int | None,
    hardware: Machine | None,
    plot: Path | None,
    force: bool,
    format_: str,
    **dtypes: str | None,
) -> None:
    """Show a config layer by layer, with its costs; without CONFIG, list the shipped variants.

    Configs of DeciLM, Nemotron-NAS and transformers' per_layer_config are shown too; a layer
    without attention has 0 heads there, one without a feed-forward the width 0.

    Multipliers are shown as asked → as got where rounding moved them. Σ weights and Σ kv are the
    bytes of all layers so far, the embedding table included. Several configs are drawn side by
    side.

    \b
    Examples:
      elmcfg show
      elmcfg show openelm-270m
      elmcfg show config.json --context-length 4096
      elmcfg show openelm-270m uniform-270m --plot both.svg
      elmcfg show openelm-1_1b --hardware m4-max
      elmcfg show mine.yaml --format json
    """
    if not sources:
        say("\n".join(shipped()))
        return
    configs, spent = costs_arguments(sources, context_length=context_length, **dtypes)
    bounds = [of_model(hardware, *pair) for pair in zip(configs, spent, strict=True) if hardware]
    if plot is not None:
        _plot(sources, configs, plot, force)
    if format_ == "json":
        _json(configs, spent, bounds)
    else:
        _text(sources, configs, spent, bounds)


def _text(
    sources: tuple[str, ...], configs: list[Config], spent: list[Cost], bounds: list[Roofline]
) -> None:
    if len(configs) == 1:
        _one(sources[0], configs[0], spent[0])
    else:
        shapes = [geometry(config) for config in configs]
        say(charts.side_by_side(sources, shapes, out_style(), width()))
        say("\n" + beside.costs_beside(sources, spent, out_style()))
    for source, bound, one in zip(sources, bounds, spent, strict=False):
        say("\n" + beside.roofline(source, bound, one, out_style(), width()))


def _one(source: str, config: Config, spent: Cost) -> None:
    shape, style, columns = geometry(config), out_style(), width()
    say(tables.title(config, shape, source, columns))
    table = tables.layers(shape, spent, style, columns)
    say("\n" + table)
    if not tables.has_bars(shape, spent, columns):
        say("\n" + charts.side_by_side([config.name or source], [shape], style, columns))
    recipe = tables.inference(infer(config)) if shape.is_whole else tables.gaps(shape)
    say("\n" + style("recipe" if shape.is_whole else "layers", "bold") + "\n" + recipe)
    say("\n" + tables.costs(spent, style, columns))


def _json(configs: list[Config], spent: list[Cost], bounds: list[Roofline]) -> None:
    shown = [
        values.shown(config, geometry(config), c) for config, c in zip(configs, spent, strict=True)
    ]
    for one, config in zip(shown, configs, strict=True):
        one["recipe"] = values.inference(infer(config)) if geometry(config).is_whole else None
    for one, bound in zip(shown, bounds, strict=False):
        one["roofline"] = values.roofline(bound)
    say(values.text(shown[0] if len(shown) == 1 else {"configs": shown}))


def _plot(sources: tuple[str, ...], configs: list[Config], path: Path, force: bool) -> None:
    from elmcfg.render import plots  # matplotlib is for those who draw

    draw = partial(plots.layers, sources, [geometry(config) for config in configs])
    try:
        plots.save(draw, path, force)
    except plots.PlotError as error:
        fail(str(error), 2)
    note(f"wrote {path}")
