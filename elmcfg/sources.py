"""Where configs come from: files, standard input, shipped variants, patterns, folders of them."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.diagnostics import Severity
from elmcfg.document import Document, Format, decode, read_bytes, refused, unreadable
from elmcfg.document.git_lfs import is_pointer_file
from elmcfg.document.tree import MAX_BYTES
from elmcfg.formats.weight_files import (
    PICKLED,
    PICKLES,
    SUFFIXES,
    is_config,
    weights_named_by,
    why_unread,
)

if TYPE_CHECKING:
    from elmcfg.config import Config
    from elmcfg.storage import Storage

Source = str | os.PathLike[str] | Mapping[str, Any]
"""A path, the name of a shipped variant, ``-`` for standard input, or a mapping of keys."""

VARIANT_SCHEMA = "variant.schema.json"
"""Name of the schema file in the ``schemas`` folder."""

STDIN = "-"
"""The argument that stands for standard input."""

NO_CONFIGS = (
    "no configs in this folder (YAML or JSON files with num_transformer_layers; links out of it "
    "are not followed)"
)
"""What is wrong with a folder that holds none."""

_CONFIG = "config.json"
# Keys that every config has some of, and other YAML and JSON files have not.
_MARKS = ("num_transformer_layers", "ffn_multipliers", "qkv_multipliers", "num_gqa_groups")
_MARKED = rf"[\"']?(?:{'|'.join(_MARKS)})[\"']?\s*:"


class SourceNotFoundError(FileNotFoundError):
    """There is neither a file nor a shipped variant of that name."""


@dataclass(frozen=True, slots=True)
class Input:
    """One file that ``validate`` may have to check.

    Attributes:
        shown: What to call it.
        path: Where it is; ``None`` for standard input.
        named: Whether it was named itself; if not, it is checked only if it looks like a config.
        folders: The arguments in whose folders it was found.
        shipped: Whether it comes with elmcfg, and so is not the user's to edit.
        problem: Of a ``.gitignore`` that is not applied, why; such a file is never a config.
    """

    shown: str
    path: str | None
    named: bool = True
    folders: tuple[str, ...] = ()
    shipped: bool = False
    problem: str = ""

    @property
    def folder(self) -> Path | None:
        """The folder that it was found in; the innermost where several arguments lead to it."""
        return Path(max(self.folders, key=len)) if self.folders else None

    def read(self) -> Document:
        """The text and what it says."""
        if self.problem:
            remedy = "what it leaves out is checked too; mend it, or name the files to check"
            return unreadable(self.shown, self.problem, remedy, severity=Severity.WARNING)
        if self.path is None:
            return translated(_read_stdin(self.shown))
        if self.path.lower().endswith(SUFFIXES):
            return _read_checkpoint(Path(self.path), self.shown, found=bool(self.folders))
        return translated(read_bytes(Path(self.path), self.shown, self.folder))


def _read_stdin(shown: str) -> Document:
    try:
        return decode(sys.stdin.buffer.read(MAX_BYTES + 1), shown)
    except OSError as error:  # It is closed, or a folder.
        message = f"standard input cannot be read: {error.strerror}"
        return unreadable(shown, message, "send a config to it: elmcfg ... - < config.json")


def data_folder(name: str) -> Path:
    """``variants`` or ``schemas``: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def shipped() -> dict[str, Path]:
    """The shipped variants by name."""
    return {path.stem: path for path in sorted(data_folder("variants").glob("*.yaml"))}


def read(source: Source) -> Document:
    """Read one config.

    A folder stands for the ``config.json`` in it, as a model folder of the hub has, or else for
    the checkpoint in it. Of a checkpoint only the headers are read.

    Raises:
        SourceNotFoundError: If there is no such file and no such shipped variant.
    """
    if isinstance(source, Mapping):
        return Document("<mapping>", "", Format.YAML, dict(source), [])
    name = os.fspath(source)
    inside = os.path.join(name, _CONFIG)  # noqa: PTH118
    if name != STDIN and os.path.lexists(inside):
        return translated(read_bytes(Path(inside), inside, Path(name)))
    weights = checkpoint_of(name) if is_folder(name) else None
    if weights is not None:
        return _read_checkpoint(weights, str(weights), found=True)
    return _named(name, "<stdin>").read()


def find(argument: str, stdin_name: str = "<stdin>") -> Iterator[Input]:
    """The files that an argument of ``validate`` stands for; nothing is read yet.

    A file named outright is always checked. In a folder those YAML and JSON files are checked that
    look like a config (:func:`looks_like_config`), and a ``config.json`` beside weights always.

    Args:
        argument: A path, a folder, a pattern (``*``, ``?``, ``[...]``, ``**``), the name of a
            shipped variant, or ``-``.
        stdin_name: What to call standard input.

    Raises:
        SourceNotFoundError: If there is nothing of that name.
    """
    if is_folder(argument):
        from elmcfg import folders  # a file that is named needs none of it

        model = os.path.join(argument, _CONFIG)  # noqa: PTH118
        whole = os.path.lexists(model) and checkpoint_beside(model) is not None
        weights = None if os.path.lexists(model) else checkpoint_of(argument)
        if weights is not None:
            yield Input(str(weights), str(weights), True, (argument,))
        refused: list[tuple[str, str]] = []
        for found in folders.walk(argument, lambda path, why: refused.append((path, why))):
            # What Git LFS has put into the place of a config.json looks like none.
            pointer = is_config(found) and is_pointer_file(Path(found))
            named = pointer or (whole and found == model) or _is_model_out_of(found, argument)
            yield Input(found.removeprefix("./"), found, named, (argument,))
        for path, why in refused:
            yield Input(path.removeprefix("./"), path, True, (argument,), problem=why)
        return
    if any(mark in argument for mark in "*?[") and not os.path.lexists(argument):
        from glob import glob

        found_any = False
        for found in sorted(glob(argument, recursive=True)):  # noqa: PTH207
            if _is_file(found):
                found_any = True
                yield Input(found, found)
        if not found_any:
            raise SourceNotFoundError(f"{argument}: no file matches this pattern")
        return
    yield _named(argument, stdin_name)


def _is_model_out_of(path: str, folder: str) -> bool:
    """Return whether a model's ``config.json`` is a link out of the folder that is searched.

    It is reported then; other links out of the folder are passed by.
    """
    from elmcfg import folders

    here, name = os.path.split(path)
    if name != _CONFIG or not os.path.islink(path):  # noqa: PTH114
        return False
    is_model = Path(here).samefile(folder) or checkpoint_beside(path) is not None
    return is_model and folders.leads_out(path, folder)


def discover(arguments: Iterable[str]) -> Iterator[Document]:
    """The configs that several arguments stand for, in order, read one at a time.

    Raises:
        SourceNotFoundError: As :func:`find`, or if a folder holds no config.
    """
    for argument in arguments:
        found = False
        for item in find(argument):
            if item.problem:  # it concerns who checks a folder
                continue
            document = item.read()
            if item.named or looks_like_config(document):
                found = True
                yield document
        if not found:
            raise SourceNotFoundError(f"{argument}: {NO_CONFIGS}")


def looks_like_config(document: Document) -> bool:
    """Whether a file found in a folder is a config, good or bad, rather than something else."""
    if not any(mark in document.text for mark in _MARKS):
        return False
    if document.data is None:
        return re.search(_MARKED, document.text) is not None
    return any(mark in document.data for mark in _MARKS)


def _named(name: str, stdin_name: str) -> Input:
    if name == STDIN:
        return Input(stdin_name, None)
    try:
        there = os.path.lexists(name)
    except ValueError:  # a NUL in the name: reading it says so
        there = True
    if there:
        return Input(name, name)
    variants = shipped()
    if name in variants:
        return Input(name, str(variants[name]), shipped=True)
    from difflib import get_close_matches  # only a mistake needs it

    close = get_close_matches(name, variants, n=1)
    hint = f"; did you mean {close[0]}?" if close else f" (shipped: {', '.join(variants)})"
    raise SourceNotFoundError(f"{name}: no such file, and no shipped variant of that name{hint}")


def checkpoint_of(name: str) -> Path | None:
    """The checkpoint that a path names, or that lies in the folder it names; it may be damaged."""
    if is_folder(name):
        from elmcfg.formats import safetensors

        return safetensors.find(Path(name))
    return Path(name) if name.lower().endswith(SUFFIXES) and _is_file(name) else None


def weights_of(name: str) -> Path | None:
    """What to read the weights of a model from: a file, or a folder of several without an index.

    Those of a ``config.json`` are the ones beside it, as ``validate`` has it.

    Returns:
        None where there are none: a shipped variant, a config by itself.

    Raises:
        CheckpointError: If they lie outside of the folder that is named, or are in a form that is
            not read: nobody who has weights wants random ones in their place.
    """
    folder, file = os.path.split(name)
    if file == _CONFIG and _is_file(name):
        return weights_of(folder or os.curdir)
    found = checkpoint_of(name)
    if not is_folder(name):
        return found
    from elmcfg.formats import safetensors

    if found is not None:
        safetensors.hold_inside(found)
        return found
    there = sorted(file for file in Path(name).iterdir() if file.name.lower().endswith(SUFFIXES))
    if any(file.suffix == ".safetensors" for file in there):
        return Path(name)
    if there:
        named = there[0].suffix.lower() == ".gguf"
        why = "name it itself" if named else f"{PICKLED}; save it as safetensors"
        raise safetensors.CheckpointError(f"{there[0]}: not read from a folder: {why}")
    return None


def stored(name: str, document: Document, config: Config) -> Storage | None:
    """Return how the weights of a model are quantized or stored, where anything tells it.

    The headers of its weights tell it, or else the ``quantization`` of its config.

    Args:
        name: As :func:`read` takes it.
        document: What it read.
        config: The config of that.
    """
    from elmcfg import storage
    from elmcfg.formats import checkpoint, safetensors
    from elmcfg.geometry import geometry

    shape = geometry(config)
    if document.family is None and name != STDIN:
        with contextlib.suppress(safetensors.CheckpointError, OSError, ValueError):
            weights = weights_of(name)
            held = None if weights is None else checkpoint.storage(weights, shape)
            if held is not None:
                return held
    keys = document.tree.data if isinstance(document.tree.data, dict) else {}
    return storage.of_config(keys, shape, config.torch_dtype)


def _read_checkpoint(path: Path, shown: str, *, found: bool) -> Document:
    """A config as far as a checkpoint's headers tell it; it was found in a folder, or named."""
    if path.suffix.lower() in PICKLES:
        return unreadable(
            shown,
            f"weights in this form are not read: {PICKLED}",
            "name a safetensors or GGUF file, or the config.json",
        )
    from elmcfg.formats import checkpoint, safetensors

    try:
        if found:
            safetensors.hold_inside(path)
        told = checkpoint.read(path)
    except safetensors.CheckpointError as error:
        message = str(error).removeprefix(f"{path}: ")
        return unreadable(shown, message, "is it whole, and of an OpenELM-style model?")
    return Document(shown, "", Format.YAML, told.values, [], told.assumed)


def translated(document: Document) -> Document:
    """A config in another vocabulary in this one's; any other document as it is."""
    given = document.data
    if given is None or not {"num_hidden_layers", "model"} & given.keys():
        return document
    from elmcfg.formats import corenet, families

    if corenet.is_corenet(given):
        return _of_corenet(document, given)
    name = families.family(given)
    if name is None:
        return document
    try:
        values = families.values(given)
    except families.FamilyError as error:
        remedy = "see 'elmcfg show --help' for what is read"
        problem = refused(document, error.loc, str(error), remedy)
        problems = [*document.diagnostics, problem]
        return replace(document, data=None, diagnostics=problems, family=name)
    return replace(
        document,
        data=values,
        assumed=families.untold(values),
        family=name,
        place=lambda loc: families.place(given, loc),
    )


def _of_corenet(document: Document, given: Mapping[str, Any]) -> Document:
    from elmcfg.formats import corenet

    try:
        values = corenet.values(given, document.text)
    except corenet.CoreNetError as error:
        remedy = "name a file that 'elmcfg convert --to corenet' wrote, or the variant itself"
        return replace(
            document, data=None, diagnostics=[refused(document, error.loc, str(error), remedy)]
        )
    return replace(document, data=values, assumed=corenet.UNTOLD, place=corenet.place)


def is_folder(path: str) -> bool:
    """Whether this is the path of a folder, or of a link to one."""
    try:
        return os.path.isdir(path)  # noqa: PTH112
    except ValueError:
        return False


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)  # noqa: PTH113
    except ValueError:
        return False


def unchecked_weights(item: Input) -> str | None:
    """Return why a model's weights, of which :func:`checkpoint_beside` has none, are not checked.

    Returns:
        None where nobody expects any: of a config that is not in a model folder.
    """
    path = item.path or ""
    if not is_config(path):
        return None
    folder = os.path.dirname(path)  # noqa: PTH120
    named = any(os.path.normpath(each) == os.path.normpath(folder) for each in item.folders)
    file = weights_named_by(path)
    if file is not None:
        return why_unread(file)
    return f"there are none in {folder or os.curdir}" if named else None


def checkpoint_beside(path: str) -> Path | None:
    """The folder of a ``config.json``, where a checkpoint lies beside it."""
    folder, name = os.path.split(path)
    if name != _CONFIG or not any(Path(folder).glob("*.safetensors")):
        return None
    return Path(folder)
