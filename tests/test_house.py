"""The architecture, held: who may import whom, and what starting up may cost."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import elmcfg

PACKAGE = Path(elmcfg.__file__).parent

# Which rooms a room may import, besides itself; CONTRIBUTING.md says why.
MAY_IMPORT = {
    "diagnostics": set(),
    "codes": {"rules"},
    "document": {"diagnostics", "escaping"},
    "escaping": set(),
    "schedule": set(),
    "geometry": {"schedule"},
    "storage": {"geometry"},
    "roundings": {"geometry", "schedule"},
    "straight_lines": {"geometry", "schedule"},
    "rules": {"diagnostics", "geometry", "roundings", "schedule", "straight_lines"},
    "invariants": {"diagnostics", "rules"},
    "field_types": set(),
    "config": {"diagnostics", "field_types", "geometry", "invariants", "schedule", "storage"},
    "layers": {"field_types", "config"},
    "costs": {"geometry", "storage"},
    "folders": {"document"},
    "sources": {"diagnostics", "document", "folders", "formats", "geometry", "storage"},
    "settings": {"codes", "document", "folders"},
    "suppressions": {"codes", "diagnostics", "document", "settings"},
    "fixes": {"diagnostics", "document", "quick", "rules", "schedule"},
    "checking": {
        "codes",
        "cores",
        "diagnostics",
        "document",
        "fixes",
        "linter",
        "settings",
        "sources",
        "suppressions",
    },
    "portability": {
        "diagnostics",
        "formats",
        "geometry",
        "roundings",
        "rules",
        "schedule",
        "straight_lines",
        "units",
    },
    "comparison": {"diagnostics", "formats", "geometry", "rules", "straight_lines"},
    "quick": {"diagnostics", "invariants", "rules", "sources"},
    "findings": {"field_types", "codes", "config", "diagnostics", "invariants", "rules"},
    "linter": {
        "codes",
        "comparison",
        "diagnostics",
        "document",
        "findings",
        "formats",
        "layers",
        "portability",
        "quick",
        "sources",
    },
    "manual": {"codes", "document", "rules"},
    "schema": {"config", "document", "search", "sources", "study"},
    "cores": set(),
    "units": set(),
    "hardware": {"units"},
    "profiles": {"schedule"},
    "infer": {"geometry", "schedule", "straight_lines"},
    "differences": {"config", "costs", "geometry", "storage"},
    "scaling": {"field_types", "config", "diagnostics", "findings", "geometry", "profiles"},
    "search": {
        "field_types",
        "config",
        "document",
        "geometry",
        "infer",
        "profiles",
        "scaling",
        "schedule",
        "storage",
        "units",
    },
    "formats": {"field_types", "config", "costs", "document", "geometry", "storage"},
    "conversion": {
        "backend",
        "config",
        "costs",
        "document",
        "formats",
        "geometry",
        "infer",
        "model",
        "portability",
        "schedule",
        "straight_lines",
    },
    "strategies": {"config", "schedule"},
    "backend": set(),
    "speed": {"backend"},
    "model": {"backend", "costs", "geometry"},
    "proof": {
        "backend",
        "children",
        "config",
        "conversion",
        "cores",
        "costs",
        "formats",
        "geometry",
        "model",
        "speed",
        "units",
    },
    "training": {
        "field_types",
        "backend",
        "config",
        "costs",
        "document",
        "model",
        "speed",
        "units",
    },
    "children": {"cores", "units"},
    "doctor": {"backend", "proof", "speed"},
    "study": {
        "field_types",
        "backend",
        "children",
        "config",
        "cores",
        "costs",
        "diagnostics",
        "document",
        "geometry",
        "hardware",
        "infer",
        "linter",
        "model",
        "profiles",
        "proof",
        "scaling",
        "search",
        "sources",
        "speed",
        "training",
        "units",
    },
    "pytest_plugin": {"checking", "diagnostics", "escaping", "render", "settings", "sources"},
    "render": {
        "codes",
        "config",
        "diagnostics",
        "document",
        "escaping",
        "hardware",
        "search",
        "study",
        "units",
    },
}
MLX_ROOMS = {"backend", "model", "proof", "speed", "training"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Absolute names imported at run time: what stands under TYPE_CHECKING does not count."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may(path: Path) -> None:
    here = room(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("elmcfg.")}
    used -= {here, "__version__"}
    if here not in ("cli", "__init__", "__main__"):
        assert used <= MAY_IMPORT[here]
    if here not in MLX_ROOMS:
        assert not {name for name in imports(path) if name.split(".")[0] == "mlx"}


def test_rooms_import_one_way() -> None:
    used: dict[str, set[str]] = {}
    for path in modules():
        names = {name.split(".")[1] for name in imports(path) if name.startswith("elmcfg.")}
        used.setdefault(room(path), set()).update(names - {room(path), "__version__"})
    del used["__init__"]  # whose names are imported when they are first used
    # Raises CycleError, which names the rooms.
    graphlib.TopologicalSorter(used).prepare()


def rooms() -> set[str]:
    return {room(path) for path in modules()} - {"__init__", "__main__"}


def test_no_room_is_named_like_a_public_function() -> None:
    assert not rooms() & set(elmcfg.__all__)


def test_the_map_of_the_house_has_every_room() -> None:
    text = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`(\w+)(?:\.py|/)`", text[text.index("| room") : text.index("Three dec")])
    assert set(named) == rooms() | {"spaces"}  # which are files
    assert len(named) == len(set(named))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_outgrows_one_subject(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 420


def test_a_command_parses_calls_and_prints() -> None:
    lengths = {}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                ast.unparse(decorator).startswith("click.command")
                for decorator in node.decorator_list
            ):
                _, first, *_ = node.body  # after the help
                lengths[path.stem] = (node.end_lineno or 0) - first.lineno + 1
    assert len(lengths) == 10
    assert max(lengths.values()) <= 15, lengths


def loaded_after(code: str) -> set[str]:
    """Top-level packages loaded by a fresh interpreter that runs the code."""
    program = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def command(*arguments: str) -> str:
    return (
        f"sys.argv = ['elmcfg', *{arguments!r}]\n"
        "from elmcfg.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code"
    )


def test_importing_elmcfg_loads_nothing_else() -> None:
    loaded = loaded_after("import elmcfg")
    assert not loaded & {"mlx", "pydantic", "yaml", "numpy", "click"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "openelm-270m"),
        ("scale", "--layers", "4", "--model-dim", "256"),
        ("show", "openelm-3b"),
        ("explain", "ELM203"),
        ("--help",),
    ],
)
def test_commands_never_load_mlx(arguments: tuple[str, ...]) -> None:
    assert not loaded_after(command(*arguments)) & {"mlx", "numpy"}


def test_a_clean_json_file_is_checked_without_models_and_yaml(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    from elmcfg.formats import hub
    from elmcfg.linter import load

    file.write_text(hub.dump(load("openelm-3b")))
    assert not loaded_after(command("validate", str(file))) & {"pydantic", "yaml", "mlx"}
