"""The cross-field rules of a config, each written once, over plain values.

Two callers need the same rules. :class:`elmcfg.config.Config` applies them, so that a config that
exists is valid. The linter applies them to whatever part of a broken document is usable, so that
a typo in one key does not hide a bad list. So they take ``values``, a mapping that holds only keys
whose value has passed its own type and range, and yield nothing where they lack what they need. An
entry of a list that did not pass is ``None``.

Each rule is a module of :mod:`elmcfg.rules`. Rules about one field alone (type, range) stand in the
field itself, where the JSON Schema gets them from.
"""

from __future__ import annotations

from elmcfg.diagnostics import Violation
from elmcfg.rules import (
    Check,
    head_divisibility,
    kv_heads_disagree,
    list_length,
    missing_key,
    multiplier_range,
    query_heads_disagree,
    schedule_without_control_points,
)
from elmcfg.rules.draft import Draft, Values, present

RULES: tuple[Check, ...] = (
    list_length.check,
    missing_key.check,
    multiplier_range.check,
    head_divisibility.check,
    query_heads_disagree.check,
    kv_heads_disagree.check,
    schedule_without_control_points.check,
)


def violations(values: Values) -> list[Violation]:
    """Every broken cross-field rule, in the order of :data:`RULES`."""
    return violations_of(Draft(present(values)))


def violations_of(draft: Draft) -> list[Violation]:
    """:func:`violations` of a draft that is there already."""
    return [violation for rule in RULES for violation in rule(draft)]
