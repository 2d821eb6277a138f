"""The variant file: YAML in the vocabulary of ``config.json``, as the shipped variants are."""

from __future__ import annotations

from typing import Any

from elmcfg.config import Config, Schedule
from elmcfg.document import dump_yaml


def values(config: Config) -> dict[str, Any]:
    """Plain values of every key that says something, in the order of the fields."""
    skipped = {"schedule"} if config.schedule == Schedule() else set()
    return config.model_dump(mode="json", exclude_none=True, exclude=skipped) | (
        {} if skipped else {"schedule": config.schedule.model_dump(mode="json")}
    )


def dump(config: Config) -> str:
    """A config as the text of a variant file; reading it back gives the same config."""
    return dump_yaml(values(config))
