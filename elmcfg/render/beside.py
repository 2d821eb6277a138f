"""Models beside each other and against machines: costs in columns, differences, rooflines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from elmcfg.escaping import printable
from elmcfg.hardware import MACHINES
from elmcfg.render.style import Style
from elmcfg.render.tables import amount, columns, table
from elmcfg.units import binary

if TYPE_CHECKING:
    from elmcfg.costs import Cost
    from elmcfg.differences import Comparison
    from elmcfg.hardware import Roofline


def costs_beside(names: Sequence[str], spent: Sequence[Cost], style: Style) -> str:
    """The totals of several models, a column each."""
    rows = [
        ("", *names),
        ("parameters", *(f"{c.parameters.total:,}" for c in spent)),
        ("  attention", *(f"{c.parameters.attention:,}" for c in spent)),
        ("  ffn", *(f"{c.parameters.ffn:,}" for c in spent)),
        ("weights", *(binary(c.weight_bytes) for c in spent)),
        ("  in", *(c.weight_dtype.partition(",")[0] for c in spent)),
        ("KV cache, B/token", *(f"{c.kv_cache_bytes_per_token:,}" for c in spent)),
        ("context", *(f"{c.flops_per_token.context_length:,}" for c in spent)),
        ("FLOPs/token, prefill", *(amount(c.flops_per_token.prefill) for c in spent)),
        ("FLOPs/token, decode", *(amount(c.flops_per_token.decode) for c in spent)),
    ]
    return "\n".join(table(rows, style))


def comparison(found: Comparison, names: tuple[str, str], style: Style) -> str:
    """Keys, layers and costs of two models, each with both values and the change."""
    rows: list[tuple[str, str, str, str]] = [("", *names, "change")]
    rows += [(key, str(a), str(b), "") for key, (a, b) in found.keys.items()]
    for index, pairs in found.layers:
        first, second = (_layer({key: pair[i] for key, pair in pairs.items()}) for i in (0, 1))
        rows.append((f"layer {index}", first, second, _layer_change(pairs)))
    if found.same_layers:
        rows.append((f"{found.same_layers} layers alike", "", "", ""))
    for name, unit, x, y in found.costs:
        rows.append((name, _in_unit(x, unit), _in_unit(y, unit), _change(x, y)))
    return "\n".join(table(rows, style))


_SHORT = {"num_query_heads": "q", "num_kv_heads": "kv", "ffn_dim": "ffn"}


def _layer(numbers: Mapping[str, int | None]) -> str:
    if None in numbers.values():
        return "-"
    return " ".join(f"{_SHORT[key]} {number:,}" for key, number in numbers.items())


def _layer_change(pairs: Mapping[str, tuple[int | None, int | None]]) -> str:
    changes = {key: _change(a, b) for key, (a, b) in pairs.items() if a != b}
    if set(changes.values()) & {"added", "gone"}:
        return next(iter(changes.values()))
    return ", ".join(f"{_SHORT[key]} {change}" for key, change in changes.items())


def _in_unit(number: int, unit: str) -> str:
    if unit == "bytes":
        return binary(number)
    return amount(number) if unit == "FLOPs" else f"{number:,}"


def _change(first: int | None, second: int | None) -> str:
    if first is None or second is None:
        return "added" if first is None else "gone"
    if first == second:
        return "same"
    return f"{second / first - 1:+.1%}" if first else "from 0"


def machines() -> str:
    """The named machines, with where their figures are from."""
    rows = [("name", "bandwidth", "16-bit FLOPs")]
    rows += [
        (m.name, amount(m.bandwidth, "B/s"), amount(m.flops, "FLOP/s")) for m in MACHINES.values()
    ]
    lines = columns([(row[0].ljust(16), *row[1:]) for row in rows])
    sources = ["", *(m.source for m in MACHINES.values())]
    return "\n".join(
        f"{line}  {source}".rstrip() for line, source in zip(lines, sources, strict=True)
    )


def roofline(name: str, bound: Roofline, spent: Cost, style: Style, width: int) -> str:
    """Return bounds of time on a machine, for which dtypes, and that they are bounds."""
    m = bound.machine
    dtypes = f"weights {spent.weight_dtype.partition(',')[0]}, KV cache {spent.cache_dtype}"
    lines = [
        style(
            f"{printable(name)} on {m.name} "
            f"({amount(m.bandwidth, 'B/s')}, {amount(m.flops, 'FLOP/s')})",
            "bold",
        ),
        f"  {dtypes}",
        f"  prefill of the context  at least {bound.prefill_seconds * 1e3:,.3g} ms "
        f"({bound.prefill_bound}-bound)",
        f"  decode of one token     at least {bound.decode_seconds * 1e3:,.3g} ms "
        f"({bound.decode_bound}-bound), so at most {1 / bound.decode_seconds:,.0f} tokens/s",
    ]
    note = (
        "A roofline: with these dtypes no program on this machine is faster; real ones are slower, "
        "with small models many times."
    )
    return "\n".join([*lines, *(style(line, "dim") for line in wrap(note, width))])
