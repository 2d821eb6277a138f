"""``elmcfg scale``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from elmcfg import __version__
from elmcfg.cli.common import (
    config_argument,
    fail,
    format_option,
    note,
    quiet_option,
    say,
    width,
)
from elmcfg.cli.scale_options import Command, model_options, recipe_options, search_options
from elmcfg.config import Config
from elmcfg.costs import as_run
from elmcfg.diagnostics import InvalidConfigError
from elmcfg.document import write_atomically
from elmcfg.escaping import printable
from elmcfg.formats import hub, variant
from elmcfg.hardware import of_model
from elmcfg.profiles import PROFILES
from elmcfg.render import beside, machine
from elmcfg.render.style import BREAK, Style
from elmcfg.scaling import context_keys, rescaled, scale, select_layers
from elmcfg.sources import is_folder

_SPELLINGS = {"num_transformer_layers": "--layers", "num_gqa_groups": "--queries-per-kv-head"}
# What a file of such a name holds, the first where no form is asked for.
ENDINGS = {
    ".yaml": ("yaml",), ".yml": ("yaml",), ".json": ("hub", "json"), ".csv": ("csv",),
}  # fmt: skip
_OF_WEIGHTS = (".gguf", ".safetensors", ".bin", ".pt", ".npz", ".py")
_SCHEDULE = ("decimals", "frame_qkv_multiplier", "frame_ffn_multiplier")
_SEARCH = ("space", "free", "minimize", "maximize", "pareto", "count", "like", "plot")
# What a search alone looks at, and what by itself asks for none.
_OF_A_SEARCH = (
    "tolerance", "batch_size", "cache_dtype", "weight_dtype", "training_tokens", "multiple_of",
    "time_limit",
)  # fmt: skip


def _list_profiles(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        say(
            "\n\n".join(
                f"{p.name}: {p.summary}.\n  Source: {p.source}.\n  {p.known}"
                for p in PROFILES.values()
            )
        )
        ctx.exit()


@click.command("scale", cls=Command)
@recipe_options
@model_options
@search_options
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Write to this file; *.json is a config.json, *.csv a table of designs, all else YAML.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the output file if it is there.")
@click.option(
    "--list-profiles", is_flag=True, is_eager=True, expose_value=False, callback=_list_profiles,
    help="Show the named schedules, with sources.",
)  # fmt: skip
@format_option("yaml", "json", "hub", "csv")
@quiet_option
def command(output: Path | None, force: bool, format_: str, quiet: bool, **flags: Any) -> None:
    """Make a layer-wise-scaled variant from a recipe, from another variant, or to a budget.

    The multipliers run from the first layer to the last: two numbers are OpenELM's layer-wise
    scaling, one is the same for every layer, more are control points in between. Widths are
    rounded as CoreNet rounds them, so the released recipes give the released lists.

    With a budget, a whole space of designs is searched: the answer is the best in it, or the
    proof that there is none.

    \b
    Examples:
      elmcfg scale --layers 16 --model-dim 1280
      elmcfg scale --layers 36 --model-dim 3072 --head-dim 128 --format hub -o config.json
      elmcfg scale --layers 18 --model-dim 768 --profile crown
      elmcfg scale --from openelm-1_1b --select-layers 0,4,8,12,16,20,24
      elmcfg scale --target-params 600M --max-kv-cache 48MiB --context-length 4096
      elmcfg scale --from openelm-1_1b --target-params 60%
      elmcfg scale --space wide --target-params 270M --tolerance 0.5% --minimize kv-cache
      elmcfg scale --max-params 1B --pareto params,kv-cache --plot front.svg
      elmcfg scale --target-params 600M --count 8 -o variants/
      elmcfg scale --from openelm-270m --target-params 80% --free rising

    Exit codes: 0 written, 1 nothing fits the budget, 2 called wrongly.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    format_ = _form(output, format_)
    if _is_search(given):
        from elmcfg.cli.scale_search import run  # numpy is for those who search

        run(given, output, force, format_, quiet)
        return
    _refuse_idle(given, format_)
    config = _config(given)
    write(text(config, format_), output, force)
    told(config, given, output, quiet)


def _form(output: Path | None, format_: str) -> str:
    """Return the form to write: that of the file's name, which an explicit one must agree with."""
    ending = "" if output is None else output.suffix.lower()
    if ending in _OF_WEIGHTS:
        raise click.UsageError(
            f"{output}: scale writes a config alone; name a .yaml or .json file, and make a "
            f"{ending} file of that with elmcfg convert"
        )
    forms = ENDINGS.get(ending, (format_,))
    explicit = click.get_current_context().get_parameter_source("format_")
    if explicit is not ParameterSource.COMMANDLINE:
        return forms[0]
    if format_ not in forms:
        raise click.UsageError(
            f"{output}: --format {format_} is not what a {ending} file holds; leave --format out, "
            "or name another file"
        )
    return format_


def told(config: Config, given: dict[str, Any], output: Path | None, quiet: bool) -> None:
    """What was written, and bounds of its speed where a machine is named, on standard error."""
    spent = as_run(config, context_length=given.get("context_length"))
    if output is not None and not quiet:
        note(f"wrote {output}: {spent.parameters.total:,} parameters")
    if "hardware" in given:
        bound = of_model(given["hardware"], config, spent)
        name = config.name or "this model"
        say(beside.roofline(name, bound, spent, Style(colour=False), width()), err=True)


def _is_search(given: dict[str, Any]) -> bool:
    limits = [key for key in given if key.partition("_")[0] in ("min", "target")]
    limits += [k for k in given if k.startswith("max_") and k != "max_context_length"]
    parts = (value if isinstance(value, tuple) else (value,) for value in given.values())
    ranges = [part for several in parts for part in several if isinstance(part, dict | list)]
    return bool(limits or ranges or any(key in given for key in _SEARCH))


def _refuse_idle(given: dict[str, Any], format_: str) -> None:
    """Refuse what only a search looks at, rather than pass it over in silence."""
    if format_ == "csv":
        raise click.UsageError("--format csv is for a search; give a budget, or --format json")
    context = click.get_current_context()
    idle = _OF_A_SEARCH if "hardware" in given else (*_OF_A_SEARCH, "context_length")
    for key in idle:
        if context.get_parameter_source(key) is ParameterSource.COMMANDLINE:
            flag = f"--{key.replace('_', '-')}"
            raise click.UsageError(f"{flag} is for a search; give a budget as well")


def config_keys(given: dict[str, Any]) -> dict[str, Any]:
    """The flags that are keys of a config, those of the schedule together under its key."""
    others = (*_SCHEDULE, *_OF_A_SEARCH)
    keys = {k: v for k, v in given.items() if k in Config.model_fields and k not in others}
    options = {k: None if given[k] == "none" else given[k] for k in _SCHEDULE if k in given}
    return keys | ({"schedule": options} if options else {})


def _config(given: dict[str, Any]) -> Config:
    if "select_layers" in given and "base" not in given:
        raise click.UsageError("--select-layers selects from a variant: give --from CONFIG")
    base = config_argument(given["base"]) if "base" in given else None
    keys = config_keys(given)
    try:
        keys |= context_keys(keys, base, given.get("context_length"))
        if base is not None and "select_layers" in given:
            return select_layers(base, given["select_layers"], keys)
        if base is not None:
            return _from(given["base"], base, keys, given.get("profile"))
        missing = [
            flag
            for key, flag in (("num_transformer_layers", "--layers"), ("model_dim", "--model-dim"))
            if key not in keys
        ]
        if missing:
            raise click.UsageError(
                f"{' and '.join(missing)} missing; or give a budget such as --target-params 600M"
            )
        return scale(**keys, profile=given.get("profile", "vanilla"))
    except InvalidConfigError as error:
        raise click.UsageError(as_flags(error)) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _from(source: str, config: Config, keys: dict[str, Any], profile: str | None) -> Config:
    from elmcfg.infer import infer
    from elmcfg.render.tables import inference

    found = infer(config)
    if not found.is_exact:
        note(f"elmcfg: {source} follows no recipe exactly; the nearest is")
        say(inference(found), err=True)
    return rescaled(config, found, keys, profile)


def as_flags(error: InvalidConfigError) -> str:
    """What is wrong, in terms of the flags that said it."""
    lines = []
    for d in error.diagnostics:
        key = str(d.loc[1 if len(d.loc) > 1 and d.loc[0] == "schedule" else 0]) if d.loc else ""
        flag = _SPELLINGS.get(key, f"--{key.replace('_', '-')}")
        lines.append(f"{flag}: {d.message}" + (f"; {d.help}" if d.help else ""))
    return BREAK.join(lines)


def text(config: Config, format_: str, *remarks: str) -> str:
    """A config as a file: YAML says in comments how it was made."""
    if format_ == "hub":
        return hub.dump(config)
    spent = as_run(config)
    if format_ == "json":
        return machine.text(machine.scaled(config, spent)) + "\n"
    lines = [
        f"elmcfg {shlex.join(sys.argv[1:])}",
        f"elmcfg {__version__}: {spent.parameters.total:,} parameters, "
        f"{spent.kv_cache_bytes_per_token:,} bytes of KV cache per token ({spent.cache_dtype})",
        *remarks,
    ]
    return "".join(f"# {printable(line)}\n" for line in lines) + variant.dump(config)


def unkept(config: Config, format_: str) -> str:
    """Return a remark on what the design is counted in, where the form has no place for it."""
    kept = {key: getattr(config, key) for key in ("weight_dtype", "cache_dtype")}
    said = " and ".join(f"{key} {dtype}" for key, dtype in kept.items() if dtype is not None)
    if format_ != "hub" or not said:
        return ""
    return (
        f"elmcfg: a config.json has no place for {said}; a YAML file keeps them, and show and diff "
        "take them as flags"
    )


def write(content: str, output: Path | None, force: bool) -> None:
    """To a file, or to standard output."""
    if output is None:
        say(content.removesuffix("\n"))
        return
    if is_folder(str(output)):
        fail(f"{output}: this is a folder; name a file in it", 2)
    try:
        write_atomically(output, content, overwrite=force)
    except FileExistsError:
        fail(f"{output}: there is a file already; --force replaces it", 2)
    except OSError as error:
        fail(f"{output}: cannot be written: {error.strerror}", 2)
