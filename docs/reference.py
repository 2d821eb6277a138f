"""Writes docs/reference/: commands from click, file formats from the schemas, the Python API.

``python docs/reference.py`` writes the pages again; a test compares them with what the code says.
``docs/rules.md`` is written by ``elmcfg.manual``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import griffe

import elmcfg
from elmcfg.cli.main import cli
from elmcfg.schema import SCHEMAS

FOLDER = Path(__file__).parent / "reference"
_WRITTEN = "<!-- Written by `python docs/reference.py`{}. Change that. -->\n"


def commands() -> str:
    """Every command: its help, with its options in a table."""
    context = click.Context(cli, info_name="elmcfg", **cli.context_settings)
    parts = [
        "# Commands\n",
        _WRITTEN.format(" from the help of each command"),
        "`elmcfg COMMAND --help` shows the same in the terminal.\n",
        *_help(cli),
    ]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        with click.Context(
            command, info_name=name, parent=context, **command.context_settings
        ) as inner:
            usage = command.get_usage(inner).removeprefix("Usage: ")
            parts += [f"## elmcfg {name}\n", f"```text\n{usage}\n```\n", *_help(command)]
            parts += [*_options(command, inner), _epilogue(command, inner)]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _help(command: click.Command) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", cleandoc(command.help or "")):
        # click's mark for "keep the lines" stands on a line of its own before the paragraph.
        _, mark, kept = paragraph.partition("\b\n")
        if not mark:
            yield _cell(paragraph).replace("*", "\\*") + "\n"
            continue
        title, _, lines = kept.partition("\n")
        yield f"{title}\n\n```text\n{dedent(lines)}\n```\n"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    yield "| option | what it does |\n| --- | --- |"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            term, text = record
            yield f"| {_code(term)} | {_cell(text)} |"
    yield "\n"


def _epilogue(command: click.Command, context: click.Context) -> str:
    """What a command's help says after its options: `scale` lists its costs there."""
    _, found, costs = command.get_help(context).partition("\nCosts:\n")
    return f"Costs:\n\n```text\n{dedent(costs).rstrip()}\n```\n" if found else ""


def file_format() -> str:
    """Every key of every file that has a schema."""
    parts = [
        "# File formats\n",
        _WRITTEN.format(" from the Pydantic models"),
        "Each file is YAML or JSON. What follows is what one key can say alone; the rules between"
        " keys are the codes from ELM2 on in [the rules](../rules.md).\n",
    ]
    for file, make in SCHEMAS.items():
        schema = make()
        described = _first_paragraph(schema["description"])
        parts += [f"## {_title(file)}\n", f"Schema: `schemas/{file}`. {described}\n"]
        parts += [*_keys(schema, schema)]
        for name, inner in schema.get("$defs", {}).items():
            parts += [f"### {name}\n", f"{_first_paragraph(inner.get('description', ''))}\n"]
            parts += [*_keys(inner, schema)]
    return "\n".join(parts).rstrip() + "\n"


def _title(file: str) -> str:
    return f"{file.partition('.')[0].capitalize()} files"


def _keys(holder: dict[str, Any], whole: dict[str, Any]) -> Iterator[str]:
    if "properties" not in holder:
        yield f"Written as {_kind(holder)}.\n"
        return
    required = holder.get("required", ())
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    for key, field in holder["properties"].items():
        default = "required" if key in required else f"`{json.dumps(field.get('default'))}`"
        meaning = [field.get("description", "")]
        if "unit" in field:
            meaning.append(f"In {field['unit']}.")
        if "source" in field and field["source"] != "elmcfg":
            meaning.append(f"Source: {field['source']}.")
        text = _cell(" ".join(part for part in meaning if part))
        yield f"| `{key}` | {_cell(_kind(field))} | {_cell(default)} | {text} |"
    yield ""


def _kind(field: dict[str, Any]) -> str:
    """A type in words, with its bounds."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(dict.fromkeys(_kind(option) for option in field[several]))
    if field.get("type") == "array":
        inner = field.get("items") or (field.get("prefixItems") or [{}])[0]
        return f"list of ({_kind(inner)})"
    bounds = [
        f"{sign} {field[key]:,}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in field
    ]
    if "multipleOf" in field:
        bounds.append(f"multiple of {field['multipleOf']}")
    return ", ".join([field.get("type", "anything"), *bounds])


def python() -> str:
    """Every public name of the package, from its signature and docstring."""
    package = griffe.load("elmcfg", docstring_parser="google")
    parts = [
        "# Python\n",
        _WRITTEN.format(" from the docstrings"),
        "`import elmcfg` loads nothing else; each name is imported when it is first used. Only"
        " `build` and `prove` import MLX.\n",
    ]
    for name in sorted(elmcfg.__all__, key=lambda name: (name[0].isupper(), name)):
        member = package[name]
        target = member.final_target if member.is_alias else member
        parts += [f"## {name}\n", *_python_object(target)]
    return "\n".join(parts).rstrip() + "\n"


def _python_object(target: Any) -> Iterator[str]:
    home = target.path.rpartition(".")[0]
    yield f"```text\n{_signature(target)}\n```\n"
    if home != "elmcfg":
        yield f"Defined in `{home}`.\n"
    yield from _docstring(target)
    if not target.is_class:
        return
    for inner in target.members.values():
        if inner.is_alias or inner.name.startswith("_") or not inner.docstring:
            continue
        if inner.is_function or "property" in inner.labels:
            brackets = "()" if inner.is_function else ""
            yield f"### {target.name}.{inner.name}{brackets}\n"
            yield from _docstring(inner)


def _signature(target: Any) -> str:
    if not target.is_function:
        bases = ", ".join(str(base).rpartition(".")[2] for base in target.bases)
        return f"class {target.name}" + (f"({bases})" if bases else "")
    written: list[str] = []
    star = False
    for parameter in target.parameters:
        if parameter.kind is griffe.ParameterKind.keyword_only and not star:
            written.append("*")
        if parameter.kind in (
            griffe.ParameterKind.keyword_only, griffe.ParameterKind.var_positional
        ):  # fmt: skip
            star = True
        prefix = {"variadic positional": "*", "variadic keyword": "**"}.get(
            parameter.kind.value, ""
        )
        text = f"{prefix}{parameter.name}: {parameter.annotation}"
        if parameter.default is not None and not prefix:
            text += f" = {parameter.default}"
        written.append(text)
    inside = ",\n    ".join(written)
    return f"{target.name}(\n    {inside},\n) -> {target.returns}"


def _docstring(target: Any) -> Iterator[str]:
    if target.docstring is None:
        return
    for section in target.docstring.parse("google", warnings=False):
        kind = section.kind.value
        if kind == "text":
            yield _prose(section.value) + "\n"
        elif kind == "examples":
            for _, text in section.value:
                yield f"```pycon\n{text}\n```\n"
        elif kind == "admonition":
            yield f"**{section.title}** {_prose(section.value.description)}\n"
        else:
            yield f"{kind.capitalize()}:\n"
            for item in section.value:
                name = getattr(item, "name", "") or str(item.annotation)
                text = " ".join(item.description.split())
                yield f"- `{name}`: {_prose(text)}" if kind != "returns" else f"- {_prose(text)}"
            yield ""


def _first_paragraph(text: str) -> str:
    return _prose(" ".join(text.partition("\n\n")[0].split()))


def _code(text: str) -> str:
    """Code in a cell of a table, where Markdown's readers do not agree on how to write a bar."""
    return f"<code>{text.replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _prose(text: str) -> str:
    """Docstring text as Markdown: cross-references and double backticks become code."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return re.sub(r"``(.+?)``", r"`\1`", text)


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "file-format.md": file_format,
    "python.md": python,
}
"""Name of each page, and what makes it."""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for page, make_page in PAGES.items():
        (FOLDER / page).write_text(make_page())
