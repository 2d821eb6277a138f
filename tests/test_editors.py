"""The schemas in the language servers behind VS Code's YAML and JSON extensions.

``make test-editors`` installs the servers, into the folder that ``SERVERS`` names.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elmcfg.sources import VARIANT_SCHEMA, data_folder, shipped

SERVERS = Path(__file__).parent.parent / "build" / "editors" / "node_modules" / ".bin"
SCHEMA = (data_folder("schemas") / VARIANT_SCHEMA).resolve().as_uri()
YAML = (
    f"# yaml-language-server: $schema={SCHEMA}\n"
    + "\n".join(
        line
        for line in shipped()["tiny"].read_text().splitlines()
        if line and not line.startswith("#")
    )
    + "\n"
)
JSON = '{\n  "num_transformer_layers": 4,\n  "model_dim": 128,\n  "head_dim": 32\n}\n'


class Server:
    """A language server, spoken to over its standard input and output.

    Protocol: Language Server Protocol 3.17, base protocol and text document synchronization.
    """

    def __init__(self, name: str, folder: Path, settings: dict[str, Any]) -> None:
        program = SERVERS / name
        if not program.exists():
            pytest.skip(f"{name} is not installed: try 'make test-editors'")
        self.settings = settings
        self.process = subprocess.Popen(
            [program, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.count = 0
        self.published: dict[str, Any] = {}
        self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": folder.as_uri(),
                "capabilities": {
                    "textDocument": {
                        "completion": {"completionItem": {"snippetSupport": True}},
                        "hover": {"contentFormat": ["markdown"]},
                        "publishDiagnostics": {},
                    },
                    "workspace": {"configuration": True},
                },
                "initializationOptions": {"handledSchemaProtocols": ["file"]},
            },
        )
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": settings})

    def send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the server has ended"
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        if "id" in message and "method" in message:  # the server asks
            items = message.get("params", {}).get("items", [])
            answer = [self.settings.get(item.get("section")) for item in items]
            self.send(id=message["id"], result=answer if items else None)
        elif message.get("method") == "textDocument/publishDiagnostics":
            self.published[message["params"]["uri"]] = message["params"]["diagnostics"]
        return message

    def tell(self, method: str, params: Any) -> None:
        self.send(method=method, params=params)

    def ask(self, method: str, params: Any) -> Any:
        self.count += 1
        self.send(id=self.count, method=method, params=params)
        while True:
            message = self.receive()
            if message.get("id") == self.count and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def open(self, path: Path, text: str) -> str:
        uri = path.as_uri()
        document = {"uri": uri, "languageId": path.suffix[1:], "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return uri

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        while uri not in self.published:
            self.receive()
        found: list[dict[str, Any]] = self.published[uri]
        return found

    def at(self, what: str, uri: str, text: str, word: str) -> Any:
        """``completion`` or ``hover`` behind a word of the text."""
        before = text[: text.index(word) + len(word)]
        line = before.count("\n")
        place = {"line": line, "character": len(before) - before.rfind("\n") - 1}
        return self.ask(f"textDocument/{what}", {"textDocument": {"uri": uri}, "position": place})


@pytest.fixture
def yaml_server(tmp_path: Path) -> Iterator[Server]:
    settings = {
        "validate": True,
        "hover": True,
        "completion": True,
        "schemaStore": {"enable": False},
    }
    server = Server("yaml-language-server", tmp_path, {"yaml": settings})
    yield server
    server.process.kill()
    server.process.communicate()


@pytest.fixture
def json_server(tmp_path: Path) -> Iterator[Server]:
    schema = json.loads((data_folder("schemas") / VARIANT_SCHEMA).read_text())
    schemas = [{"fileMatch": ["*.json"], "url": "mem://variant.json", "schema": schema}]
    settings = {"json": {"validate": {"enable": True}, "schemas": schemas}}
    server = Server("vscode-json-language-server", tmp_path, settings)
    yield server
    server.process.kill()
    server.process.communicate()


def test_yaml_marks_an_error_at_its_line(yaml_server: Server, tmp_path: Path) -> None:
    good = yaml_server.open(tmp_path / "good.yaml", YAML)
    assert yaml_server.diagnostics(good) == []
    text = YAML.replace("head_dim: 32", "head_dim: 33")
    found = yaml_server.diagnostics(yaml_server.open(tmp_path / "bad.yaml", text))
    line = text[: text.index("head_dim: 33")].count("\n")
    assert [d["range"]["start"]["line"] for d in found] == [line]


def test_yaml_explains_a_key(yaml_server: Server, tmp_path: Path) -> None:
    uri = yaml_server.open(tmp_path / "a.yaml", YAML)
    hover = yaml_server.at("hover", uri, YAML, "num_gqa_gr")
    assert "query heads" in hover["contents"]["value"]


def test_yaml_completes_a_key(yaml_server: Server, tmp_path: Path) -> None:
    text = YAML + "rope_fr"
    uri = yaml_server.open(tmp_path / "a.yaml", text)
    labels = [item["label"] for item in yaml_server.at("completion", uri, text, "rope_fr")["items"]]
    assert "rope_freq_constant" in labels


def test_json_marks_explains_and_completes(json_server: Server, tmp_path: Path) -> None:
    text = JSON.replace('"head_dim": 32', '"head_dim": 33,\n  "rope_fr"')
    uri = json_server.open(tmp_path / "a.json", text)
    assert 3 in {d["range"]["start"]["line"] for d in json_server.diagnostics(uri)}
    assert "head" in json.dumps(json_server.at("hover", uri, text, "head_d"))
    items = json_server.at("completion", uri, text, '"rope_fr')
    assert "rope_freq_constant" in json.dumps(items)
