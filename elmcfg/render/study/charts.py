"""The charts of a study's page, as Vega-Lite specifications (vega.github.io/vega-lite).

Vega-Lite is drawn as SVG, whose text takes the page's colour and whose parts have names for screen
readers; its runtime, which vl-convert carries, is put into the page whole.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elmcfg.study.results import Results
    from elmcfg.study.verdict import Verdict

Spec = dict[str, Any]

MOST_SHAPES = 24
"""Variants whose shapes are drawn: more would be a page nobody scrolls through."""

_CONFIG: Spec = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "domainColor": "currentColor",
        "tickColor": "currentColor",
        "gridColor": "currentColor",
        "gridOpacity": 0.15,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12},
    "text": {"color": "currentColor", "fontSize": 12},
    # The page sets these, one shade for light paper and one for dark.
    "range": {"category": [f"var(--series-{i})" for i in range(1, 7)]},
}


def _spec(title: str, rows: list[Spec], height: int, **rest: Any) -> Spec:
    return {
        "description": title,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": rows},
        "config": _CONFIG,
        **rest,
    }


def _colour(names: list[str]) -> Spec:
    return {
        "field": "variant",
        "type": "nominal",
        "scale": {"domain": names},
        "legend": {
            "orient": "top",
            "title": None,
            "columns": 3,
            "symbolStrokeWidth": 3,
            "symbolOpacity": 1,
        },
    }


def curves(found: Verdict, results: Results, reference: str | None) -> Spec | None:
    """Held-out bits per byte by step: mean over seeds, in a band from the least to the greatest.

    Args:
        found: Chooses learning rates and seeds.
        results: Has the curves.
        reference: With it, differences from that variant, seed by seed; both must have the seed.
    """
    chosen = {s.variant: s.chosen.learning_rate for s in found.summaries}
    series: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    for trial in results.trials():
        if trial.learning_rate == chosen.get(trial.variant):
            for step, bits in trial.validation:
                series[trial.variant, step][trial.seed] = bits
    rows = []
    for (name, step), by_seed in series.items():
        values = list(by_seed.values())
        if reference is not None:
            base = series.get((reference, step), {})
            values = [bits - base[seed] for seed, bits in by_seed.items() if seed in base]
        if values:
            rows.append(
                {
                    "variant": name,
                    "step": step,
                    "bits": round(sum(values) / len(values), 5),
                    "least": round(min(values), 5),
                    "most": round(max(values), 5),
                    "seeds": len(values),
                }
            )
    if not rows:
        return None
    names = [s.variant for s in found.summaries]
    x = {"field": "step", "type": "quantitative", "title": "step", "axis": {"tickCount": 6}}
    unit = "bits per byte" if reference is None else f"bits per byte, less {reference}"
    scale = {"zero": False}
    return _spec(
        f"Held-out {unit} by step, a line with a band for each of {', '.join(names)}",
        rows,
        300,
        encoding={"x": x, "color": _colour(names)},
        layer=[
            {
                "mark": {"type": "area", "opacity": 0.18},
                "encoding": {
                    "y": {"field": "least", "type": "quantitative", "title": unit, "scale": scale},
                    "y2": {"field": "most"},
                },
            },
            {
                "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 35}},
                "encoding": {
                    "y": {"field": "bits", "type": "quantitative", "scale": scale},
                    "strokeDash": _colour(names),  # for those who cannot tell the colours apart
                    "tooltip": [
                        {"field": key}
                        for key in ("variant", "step", "bits", "least", "most", "seeds")
                    ],
                },
            },
        ],
    )  # fmt: skip


_COSTS = (
    ("kv_cache_bytes_per_token", "KV cache, bytes per token (2-byte dtype)"),
    ("training_flops_per_token", "training FLOPs per token"),
    ("parameters", "parameters"),
)


def pareto(rows: list[dict[str, Any]], found: Verdict) -> list[Spec]:
    """Bits per byte against each cost that differs: points with seed noise, and the front of means.

    A variant is on the front if no other has both a lower or equal cost and lower or equal mean.
    """
    noise = {s.variant: (s.least, s.most) for s in found.summaries}
    drawn = []
    for key, title in _COSTS:
        points = [
            {
                "variant": r["variant"], "cost": r[key], "bits": round(r["bits_per_byte"], 5),
                "least": noise[r["variant"]][0], "most": noise[r["variant"]][1],
            }
            for r in rows
            if r["bits_per_byte"] is not None and r[key] is not None
        ]  # fmt: skip
        if len({p["cost"] for p in points}) < 2:
            continue
        lowest = float("inf")
        for point in sorted(points, key=lambda p: (p["cost"], p["bits"])):
            point["front"] = point["bits"] < lowest
            lowest = min(lowest, point["bits"])
        drawn.append(_trade_off(points, title, [s.variant for s in found.summaries]))
    return drawn


def _trade_off(points: list[Spec], title: str, names: list[str]) -> Spec:
    x = {
        "field": "cost", "type": "quantitative", "title": title,
        "scale": {"zero": False, "padding": 30}, "axis": {"tickCount": 5, "format": "~s"},
    }  # fmt: skip
    y = {
        "field": "bits",
        "type": "quantitative",
        "title": "bits per byte",
        "scale": {"zero": False},
    }
    return _spec(
        f"Bits per byte against {title}; on the front: "
        + ", ".join(p["variant"] for p in points if p["front"]),
        points,
        260,
        encoding={"x": x},
        layer=[
            {
                "transform": [{"filter": "datum.front"}],
                "mark": {"type": "line", "interpolate": "step-after", "color": "currentColor",
                         "opacity": 0.5, "strokeDash": [4, 3]},
                "encoding": {"y": y},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "y": {"field": "least", "type": "quantitative"}, "y2": {"field": "most"},
                    "color": _colour(names),
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {
                    "y": y, "color": _colour(names),
                    "tooltip": [{"field": k} for k in ("variant", "cost", "bits", "least", "most")],
                },
            },
        ],
    )  # fmt: skip


def shapes(results: Results) -> list[tuple[str, Spec]]:
    """Per variant, the widths of every layer in channels: FFN as bars, queries and KV as lines."""
    found = [(v.name, v.shape()) for v in results.variants[:MOST_SHAPES]]
    most = max(
        max(layer.ffn_dim, layer.num_query_heads * shape.head_dim)
        for _, shape in found
        for layer in shape.layers
    )
    return [
        (
            name,
            _widths(
                name,
                [
                    {
                        "layer": layer.index,
                        "ffn": layer.ffn_dim,
                        "query": layer.num_query_heads * shape.head_dim,
                        "kv": layer.num_kv_heads * shape.head_dim,
                    }
                    for layer in shape.layers
                ],
                most,
            ),
        )
        for name, shape in found
    ]


def _widths(name: str, rows: list[Spec], most: int) -> Spec:
    def y(field: str) -> Spec:
        return {
            "field": field, "type": "quantitative", "title": "channels",
            "scale": {"domain": [0, most]}, "axis": {"tickCount": 4},
        }  # fmt: skip

    def line(field: str, colour: int) -> Spec:
        mark = {"type": "line", "interpolate": "step", "strokeWidth": 2.5,
                "color": f"var(--series-{colour})"}  # fmt: skip
        return {"mark": mark, "encoding": {"y": y(field)}}

    tooltip = [{"field": key} for key in ("layer", "ffn", "query", "kv")]
    return _spec(
        f"Widths of the {len(rows)} layers of {name}, in channels: FFN from {rows[0]['ffn']:,} in "
        f"the first to {rows[-1]['ffn']:,} in the last",
        rows,
        130,
        encoding={
            "x": {
                "field": "layer", "type": "ordinal",
                "axis": {"labelOverlap": True, "labelAngle": 0},
            },
            "tooltip": tooltip,
        },
        layer=[
            {
                "mark": {"type": "bar", "opacity": 0.55, "color": "var(--series-1)"},
                "encoding": {"y": y("ffn")},
            },
            line("query", 2),
            line("kv", 3),
        ],
    )  # fmt: skip
