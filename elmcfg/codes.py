"""The registry of diagnostic codes, each with the long text that ``elmcfg explain`` prints.

``ELM0xx`` the text, ``1xx`` structure, ``2xx`` the lists and their ranges, ``3xx`` the recipe
against the lists. A code, once released, keeps its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from elmcfg.diagnostics import Severity


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of finding.

    Attributes:
        code: ``ELM`` and three digits.
        name: Short name in kebab case.
        severity: The severity its findings have unless the place softens it.
        explanation: What it means, why it matters, and a bad and a good example.
    """

    code: str
    name: str
    severity: Severity
    explanation: str


CODES: dict[str, Code] = {}


def _register(code: str, name: str, text: str, severity: Severity = Severity.ERROR) -> None:
    CODES[code] = Code(code, name, severity, dedent(text).strip())


_register(
    "ELM001",
    "unreadable",
    """
    The file could not be read: it does not exist, is not a regular file, may not be opened, or is
    not UTF-8 text (a picture, an archive, UTF-16, NUL bytes).

    A config is UTF-8 text in YAML or JSON. For UTF-16, save it again as UTF-8.
    """,
)
_register(
    "ELM002",
    "syntax",
    """
    The text is not valid YAML or JSON, so nothing else in it can be checked.

    Bad:   {"model_dim": 1280,}
    Good:  {"model_dim": 1280}
    """,
)
_register(
    "ELM003",
    "duplicate-key",
    """
    A key stands twice in the same mapping. Every common reader (json, PyYAML, pydantic, orjson)
    keeps the last one silently, so half of the file says something that no program does.

    Bad:   model_dim: 1280
           model_dim: 1536
    Good:  model_dim: 1280
    """,
)
_register(
    "ELM004",
    "limit",
    """
    The file is larger, deeper or more entangled than any config: over 4 MiB of text, over 64
    levels of nesting, or over 500,000 values once YAML aliases are followed. Reading on could take
    all of the memory, so it is refused.
    """,
)
_register(
    "ELM005",
    "not-a-mapping",
    """
    The file is empty, or its top level is a list or a single value. A config is one mapping of
    keys to values.

    Good:  num_transformer_layers: 16
           model_dim: 1280
    """,
)
_register(
    "ELM006",
    "several-documents",
    """
    A YAML file holds several documents, separated by "---". A variant is one document: most
    readers would take the first and ignore the rest. Put each variant in a file of its own.
    """,
)
_register(
    "ELM007",
    "yaml-trap",
    """
    YAML 1.1 reads this value as something else than it looks like: 010 is 8 (octal), 1:30 is 90
    (base 60), a tag like !!python/object asks for code. Other YAML readers disagree, so the same
    file would build different models.

    Bad:   num_transformer_layers: 010
    Good:  num_transformer_layers: 10
    """,
)
_register(
    "ELM101",
    "missing-key",
    """
    A key that the model cannot be built without is absent. Needed are num_transformer_layers,
    model_dim, head_dim, vocab_size, ffn_multipliers, and the attention heads: either the two lists
    num_query_heads and num_kv_heads, or the recipe for them, qkv_multipliers and num_gqa_groups.
    """,
)
_register(
    "ELM102",
    "unknown-key",
    """
    A key that is not part of the format. In a variant file (YAML) that is an error, since a
    misspelt key would otherwise silently leave its default in force. A hub config.json may carry
    the keys of other programs; there only near misses of a known key are reported, as warnings.

    Bad:   num_kv_head: [3, 3, 4]
    Good:  num_kv_heads: [3, 3, 4]
    """,
)
_register(
    "ELM103",
    "wrong-type",
    """
    A value has the wrong type: a list where a number belongs, a string where a number belongs, a
    fraction where a whole number belongs, true where a number belongs.

    A frequent one in YAML 1.1 is 1e-6, which is a string there; 1.0e-6 is the number.

    Bad:   rms_norm_eps: 1e-6
    Good:  rms_norm_eps: 1.0e-6
    """,
)
_register(
    "ELM104",
    "unsupported-value",
    """
    The key is known, but its value names something that the OpenELM architecture does not have,
    such as another model_type, activation or normalization layer. mlx-lm ignores these keys
    and would build the released architecture whatever they say.
    """,
)
_register(
    "ELM201",
    "list-length",
    """
    num_query_heads, num_kv_heads and the multipliers have one entry for each of the
    num_transformer_layers layers. (A multiplier list at most half as long is read as control
    points of a schedule instead.)

    With a short list mlx-lm stops at a bare IndexError; of a long one it silently ignores the
    tail, so that a model whose depth was cut never gets its widest layers.
    """,
)
_register(
    "ELM202",
    "head-count",
    """
    A head count is a positive whole number. With 0 KV heads mlx-lm dies of SIGFPE (a division by
    zero in native code, no Python traceback); with 0 query heads it stops at a ZeroDivisionError.
    """,
)
_register(
    "ELM203",
    "head-divisibility",
    """
    In grouped-query attention every KV head serves equally many query heads, so in each layer
    num_query_heads must be a multiple of num_kv_heads. mlx-lm builds such a model and fails at its
    first forward pass; CoreNet stops at an assertion.

    Bad:   18 query heads over 4 KV heads
    Good:  16 or 20 query heads over 4 KV heads, or 18 over 3 or 6
    """,
)
_register(
    "ELM204",
    "head-dim",
    """
    head_dim is even and positive: rotary position embedding (RoPE) turns channels in pairs, and
    MLX refuses an odd width at the first forward pass.
    """,
)
_register(
    "ELM205",
    "multiplier-range",
    """
    A multiplier is a finite number above zero (and below 1,000, beyond which nothing can be
    built). mlx-lm silently gives a layer with a multiplier of zero or less one divisor of width.
    """,
)
_register(
    "ELM206",
    "divisor",
    """
    ffn_dim_divisor is a positive whole number: each feed-forward width is rounded to a multiple of
    it, never below one divisor.
    """,
)
_register(
    "ELM207",
    "size-range",
    """
    A size (layers, model width, vocabulary, context, ...) or another number is outside the range
    in which a model can be built at all. rope_freq_constant of 0, for instance, gives NaN.
    """,
)
_register(
    "ELM301",
    "query-heads-disagree",
    """
    The file gives the query heads twice, as a list and as a recipe (qkv_multipliers with
    num_gqa_groups), and the two say different things.

    Programs choose differently: mlx-lm and llama.cpp take the list, the hub's remote code
    (apple/OpenELM) recomputes the heads from the recipe and ignores the list. The same file then
    builds two different models. Hand-edited configs nearly always have this fault.

    To mend it, make the list from the recipe again, or write the multipliers that give the list.
    """,
)
_register(
    "ELM302",
    "kv-heads-disagree",
    """
    The list num_kv_heads disagrees with num_gqa_groups. Despite its name, CoreNet's num_gqa_groups
    is the number of query heads that share one KV head, so in every layer
    num_kv_heads = num_query_heads / num_gqa_groups.
    """,
)
_register(
    "ELM303",
    "schedule-without-control-points",
    """
    The key schedule says how control points are expanded (rounding, framing), but neither
    qkv_multipliers nor ffn_multipliers holds control points that it would apply to. It would be
    silently ignored; remove it, or give control points instead of a full list.
    """,
)

# Comments that suppress findings (elmcfg.suppressions).
_register(
    "ELM008",
    "unused-suppression",
    """
    A comment "elmcfg: ignore[...]" leaves nothing out: what it was written for has been mended, or
    its code is another one. Left in place it would hide the next real finding.

    Bad:   vocab_size: 32000  # elmcfg: ignore[ELM203] odd on purpose
    Good:  vocab_size: 32000
    """,
    Severity.WARNING,
)
_register(
    "ELM009",
    "malformed-suppression",
    """
    A comment that begins with "elmcfg:" names no known code, or gives no reason. Whoever reads the
    file next should see what is left out, and why that is no problem here.

    Bad:   num_query_heads: [18, 18]  # elmcfg: ignore
    Good:  num_query_heads: [18, 18]  # elmcfg: ignore[ELM301] our trainer reads the list alone
    """,
    Severity.WARNING,
)
