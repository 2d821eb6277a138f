"""The pytest plugin: configs kept in somebody's repository, one test each.

It does nothing until the setting ``elmcfg_configs`` names files, by patterns as of
:meth:`pathlib.Path.glob` from pytest's root folder. The verdict is that of ``elmcfg validate``:
``[tool.elmcfg]`` and comments in the files count, and only errors fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elmcfg.escaping import escaped, printable

_FILES = pytest.StashKey[frozenset[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``elmcfg_configs``."""
    parser.addini(
        "elmcfg_configs", "Patterns of config files that elmcfg checks.", type="args", default=[]
    )


def pytest_configure(config: pytest.Config) -> None:
    """Find the files once.

    Raises:
        pytest.UsageError: A pattern that no file matches: a run that checks nothing would pass.
    """
    found: set[Path] = set()
    for pattern in config.getini("elmcfg_configs"):
        try:
            matching = {path for path in config.rootpath.glob(pattern) if path.is_file()}
        except (NotImplementedError, ValueError) as error:  # an absolute or an empty pattern
            raise pytest.UsageError(f"elmcfg_configs: {pattern!r}: {error}") from error
        if not matching:
            raise pytest.UsageError(
                f"elmcfg_configs: no file matches {pattern!r} in {config.rootpath}; "
                "mend the pattern or leave it out"
            )
        found |= matching
    config.stash[_FILES] = frozenset(found)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    """A file that the setting names."""
    if file_path not in parent.config.stash[_FILES]:
        return None
    # pytest prints the name of a node as it is.
    name = file_path.relative_to(parent.config.rootpath).as_posix()
    shown: dict[str, Any] = {} if name.isprintable() else {"nodeid": printable(name)}
    file: pytest.File = _ConfigFile.from_parent(parent, path=file_path, **shown)
    return file


class _InvalidError(Exception):
    """A config has errors; the text shows them."""


class _ConfigFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        yield _Verdict.from_parent(self, name="elmcfg")


class _Verdict(pytest.Item):
    def runtest(self) -> None:
        from elmcfg import settings  # only where there is a config to check
        from elmcfg.checking import Task, check_one
        from elmcfg.diagnostics import Severity
        from elmcfg.render.reports import View, report_of
        from elmcfg.render.style import Style
        from elmcfg.sources import Input

        root = self.config.rootpath
        item = Input(str(self.path.relative_to(root)), str(self.path))
        checked = check_one(item, Task(settings.load(root)))
        if checked is not None and checked.count(Severity.ERROR):
            view = View(Style(colour=False), 100)
            raise _InvalidError(escaped("\n".join(report_of("text")([checked], view))))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any) -> Any:
        if isinstance(excinfo.value, _InvalidError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, printable(f"{self.path.name}: elmcfg")
