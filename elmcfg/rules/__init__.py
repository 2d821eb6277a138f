"""The rules: one module for each code, with its manual page and, where it has one, its check.

Rules of the text and of single keys (``ELM0xx``, ``ELM1xx``, most ranges of ``ELM2xx``) are found
by the readers and by the models; their modules hold the page alone. The other modules have a
function ``check`` from a :class:`~elmcfg.rules.draft.Draft` to violations.
:mod:`elmcfg.invariants` runs those that make a config invalid, :func:`advice` those that only
remark on it.

The registry is explicit and loads nothing: a page is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module

from elmcfg.diagnostics import Violation
from elmcfg.rules.draft import Draft

Check = Callable[[Draft], Iterator[Violation]]

MODULES: Mapping[str, str] = {
    "ELM001": "unreadable",
    "ELM002": "syntax",
    "ELM003": "duplicate_key",
    "ELM004": "limit",
    "ELM005": "not_a_mapping",
    "ELM006": "several_documents",
    "ELM007": "yaml_trap",
    "ELM008": "unused_suppression",
    "ELM009": "malformed_suppression",
    "ELM101": "missing_key",
    "ELM102": "unknown_key",
    "ELM103": "wrong_type",
    "ELM104": "unsupported_value",
    "ELM201": "list_length",
    "ELM202": "head_count",
    "ELM203": "head_divisibility",
    "ELM204": "head_dim",
    "ELM205": "multiplier_range",
    "ELM206": "divisor",
    "ELM207": "size_range",
    "ELM301": "query_heads_disagree",
    "ELM302": "kv_heads_disagree",
    "ELM303": "schedule_without_control_points",
    "ELM401": "inflated_multiplier",
    "ELM402": "effective_multipliers",
    "ELM403": "outlier",
    "ELM404": "plateaus",
    "ELM405": "jump",
    "ELM406": "wide_queries",
    "ELM407": "unquantizable_width",
    "ELM408": "quantization_group",
    "ELM409": "vocabulary_multiple",
    "ELM410": "token_outside_vocabulary",
    "ELM411": "context_beyond_rope",
    "ELM412": "memory",
    "ELM413": "large_kv_cache",
    "ELM414": "foreign_rounding",
    "ELM415": "tied_otherwise",
    "ELM500": "portable",
    "ELM501": "another_model",
    "ELM502": "refused",
    "ELM503": "crash",
    "ELM601": "weights_unreadable",
    "ELM602": "tensor_missing",
    "ELM603": "tensor_unexpected",
    "ELM604": "tensor_shape",
    "ELM605": "tensor_dtype",
    "ELM606": "quantization_mismatch",
}
"""The module of every code, in the order of the manual."""


@cache
def advice_checks() -> tuple[Check, ...]:
    """The check of every rule of advice, in order."""
    names = (name for code, name in MODULES.items() if code.startswith("ELM4"))
    return tuple(import_module(f"elmcfg.rules.{name}").check for name in names)


def advice(draft: Draft) -> list[Violation]:
    """What is worth knowing about a config that is valid as far as its values are usable."""
    return [violation for check in advice_checks() for violation in check(draft)]
