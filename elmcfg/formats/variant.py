"""The variant file: YAML in the vocabulary of ``config.json``, as the shipped variants are."""

from __future__ import annotations

from typing import Any

from elmcfg.config import Config, Schedule
from elmcfg.document import dump_yaml


def values(config: Config) -> dict[str, Any]:
    """Plain values of every key that says something, in the order of the fields.

    A null is left out where it is what the key would be anyway.
    """
    skipped = {"schedule"} if config.schedule == Schedule() else set()
    plain = config.model_dump(mode="json", exclude=skipped)
    silent = {key for key, field in Config.model_fields.items() if field.default is None}
    return {key: value for key, value in plain.items() if value is not None or key not in silent}


def dump(config: Config) -> str:
    """A config as the text of a variant file; reading it back gives the same config."""
    return dump_yaml(values(config))
