"""ELM201: a per-layer list that is not as long as the model is deep."""

from __future__ import annotations

from collections.abc import Iterator

from elmcfg import schedule
from elmcfg.diagnostics import Severity, Violation
from elmcfg.rules.draft import HEAD_LISTS, MULTIPLIER_LISTS, Draft
from elmcfg.rules.page import Page
from elmcfg.rules.wording import count, layers

PAGE = Page(
    code="ELM201",
    name="list-length",
    severity=Severity.ERROR,
    what="""
        num_query_heads, num_kv_heads and the multipliers have one entry for each of the
        num_transformer_layers layers. (A multiplier list at most half as long is read as control
        points of a schedule instead.)
    """,
    why="""
        With a short list mlx-lm stops at a bare IndexError; of a long one it silently ignores the
        tail, so that a model whose depth was cut never gets its widest layers.
    """,
    bad="""
        num_transformer_layers: 3
        num_kv_heads: [3, 3, 4, 4]
    """,
    good="""
        num_transformer_layers: 4
        num_kv_heads: [3, 3, 4, 4]
    """,
    source="mlx-lm models/openelm.py (lists are indexed by layer_id)",
)


def check(draft: Draft) -> Iterator[Violation]:
    """Every per-layer list has one entry per layer; shorter multipliers may be control points."""
    n = draft.layers
    if n is None:
        return
    for key in HEAD_LISTS + MULTIPLIER_LISTS:
        entries = draft.values.get(key)
        if entries is None or len(entries) == n:
            continue
        if len(entries) > n:
            yield _long(key, len(entries), n)
        elif key in HEAD_LISTS:
            yield _short(key, len(entries), n)
        elif not schedule.is_control_points(len(entries), n):
            yield _neither(key, len(entries), n)


def _message(key: str, length: int, n: int) -> str:
    return f"{key} has {count(length, 'entry')} for {count(n, 'layer')}"


def _depth(n: int) -> tuple[tuple[tuple[str | int, ...], str], ...]:
    return ((("num_transformer_layers",), f"{count(n, 'layer')} here"),)


def _long(key: str, length: int, n: int) -> Violation:
    surplus = length - n
    return Violation(
        "ELM201",
        (key, n),
        _message(key, length, n),
        f"remove the last {count(surplus, 'entry') if surplus > 1 else 'entry'}, or set "
        f"num_transformer_layers to {length}; mlx-lm would silently ignore the tail",
        _depth(n),
        label="first surplus entry",
    )


def _short(key: str, length: int, n: int) -> Violation:
    remedy = f"give {count(n, 'entry')}, one per layer"
    if length:
        missing = f"add {count(n - length, 'entry')} for {layers(length, n - 1)}"
        remedy = f"{missing}, or set num_transformer_layers to {length}"
    return Violation(
        "ELM201",
        (key,),
        _message(key, length, n),
        remedy,
        _depth(n),
        label=f"no entry for layer {length}",
    )


def _neither(key: str, length: int, n: int) -> Violation:
    most = schedule.max_control_points(n)
    return Violation(
        "ELM201",
        (key,),
        _message(key, length, n),
        f"give {n} multipliers, one per layer, or at most {most} control points",
        _depth(n),
        label=f"no entry for layer {length}" if length else "empty list",
    )
