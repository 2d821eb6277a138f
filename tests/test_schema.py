"""The committed JSON Schema: in step with the models, itself valid, and true of what ships."""

import json

import jsonschema
import pytest
import yaml
from hypothesis import given

from elmcfg import schema
from elmcfg.formats import hub
from elmcfg.linter import load
from elmcfg.sources import VARIANT_SCHEMA, data_folder, shipped
from elmcfg.strategies import configs

COMMITTED = (data_folder("schemas") / VARIANT_SCHEMA).read_text()
VALIDATOR = jsonschema.Draft202012Validator(json.loads(COMMITTED))


def test_the_committed_schema_is_what_the_models_generate() -> None:
    assert schema.text() == COMMITTED, "run 'make generated' to write it again"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(COMMITTED))


def test_every_key_is_described() -> None:
    for key, field in json.loads(COMMITTED)["properties"].items():
        if key != "schedule":
            assert {"title", "description", "source"} <= field.keys(), key


@pytest.mark.parametrize("name", shipped())
def test_shipped_variants_and_their_hub_form_satisfy_it(name: str) -> None:
    VALIDATOR.validate(yaml.safe_load(shipped()[name].read_text()))
    written = json.loads(hub.dump(load(name)))
    written.pop("tie_word_embeddings", None)  # transformers' own
    VALIDATOR.validate(written)


@given(configs())
def test_every_valid_config_satisfies_it(values: dict[str, object]) -> None:
    VALIDATOR.validate(values)


@pytest.mark.parametrize(
    "change", [{"head_dim": 63}, {"model_dim": "12"}, {"num_kv_heads": [0]}, {"extra": 1}]
)
def test_what_one_key_can_say_alone_is_checked(change: dict[str, object]) -> None:
    values = yaml.safe_load(shipped()["tiny"].read_text()) | change
    assert not VALIDATOR.is_valid(values)


def test_every_example_fits_its_key() -> None:
    whole = json.loads(COMMITTED)
    seen = 0
    for holder in (whole, whole["$defs"]["Schedule"]):
        for key, field in holder["properties"].items():
            fits = jsonschema.Draft202012Validator({"$defs": whole["$defs"], **field})
            for example in field.get("examples", ()):
                seen += 1
                assert fits.is_valid(example), (key, example)
            alone = {"const", "enum", "$ref"} & field.keys() or field.get("type") == "boolean"
            assert alone or field.get("examples"), key
    assert seen > 20
