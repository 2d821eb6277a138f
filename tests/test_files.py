"""Files of strangers: opened in one place, regular ones only, and no more of them than a limit."""

import ast
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import models
import pytest
from conftest import Run

import elmcfg
from elmcfg import folders
from elmcfg.document import UnsuitableFileError, open_regular, read_regular
from elmcfg.sources import shipped

PACKAGE = Path(elmcfg.__file__).parent

# Where a file is opened by other means than elmcfg.document.files, and why that is no stranger's.
OPENED_ELSEWHERE = {
    "backend._lend_libgfortran": "a library of the installed MLX, and memory made here",
    "backend._missing_feature": "/proc/cpuinfo",
    "children.channel.open_channel": "the descriptor of standard output",
    "children.process._resident_bytes": "/proc",
    "cli.main.main": "/dev/null",
    "conversion.gguf.write": "the file that is being written",
    "conversion.hub._copy": "the file that is being written",
    "conversion.hub.write": "the file that is being written",
    "conversion.weights._values": "a stream of open_regular",
    "document.files.open_regular": "the one place",
    "document.temporary._lock": "the lock file of what is being written",
    "document.temporary._open_lock": "a lock file, by a name of ours, no link",
    "document.writing.new_file": "the file that is being written",
    "formats.folder.new_folder": "the files that are being written",
    "proof.checks.save_load._written_and_read": "a temporary file made here",
    "proof.free_memory._read": "/proc and /sys",
    "quick._schema": "a file of elmcfg's own",
    "render.study.page.page": "files of elmcfg's own",
    "study.claims.Claims.__init__": "a lock file, which is not read",
    "study.journal.Journal._write": "the journal that is being written",
    "training.checkpoints.load": "a stream of open_regular",
    "training.checkpoints.save": "the file that is being written",
}
OPENING = {
    "open", "fdopen", "read_text", "read_bytes", "memmap", "mmap", "fromfile", "loadtxt", "FileIO",
    "copyfile", "copytree", "copy2", "open_code", "SentencePieceProcessor",
}  # fmt: skip
LOADERS = {"mx", "np", "numpy", "torch", "pickle", "safetensors"}


def calls(node: ast.AST, where: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the dotted name of the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{where}.{child.name}"
        if isinstance(child, ast.Call):
            yield inside, child
        yield from calls(child, inside)


def opens(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        name, owner = function.id, ""
    elif isinstance(function, ast.Attribute):
        name = function.attr
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
    else:
        return False
    if isinstance(function, ast.Name) and name in ("read_bytes", "read_text"):
        return False  # functions of elmcfg, not methods of a path
    if name == "SentencePieceProcessor":
        return [keyword.arg for keyword in call.keywords] != ["model_proto"]
    if name in ("load", "loads") and owner in LOADERS:
        return name == "load"
    return name in OPENING or (owner == "shutil" and name in ("copy", "move"))


def test_every_file_is_opened_in_one_place_or_has_a_reason() -> None:
    opened = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for where, call in calls(ast.parse(path.read_text()), module):
            if opens(call):
                opened[where] = call.lineno
    surplus = {where: line for where, line in opened.items() if where not in OPENED_ELSEWHERE}
    assert surplus == {}, "open them by elmcfg.document.open_regular or read_regular"
    assert not OPENED_ELSEWHERE.keys() - opened.keys()
