"""OpenELM in MLX: a decoder whose layers have different shapes.

*Layer-wise scaling* (OpenELM, https://arxiv.org/abs/2404.14619, after DeLighT,
https://arxiv.org/abs/2008.00623) spends the parameter budget unevenly over the depth. A uniform
decoder gives each layer the same heads and the same feed-forward width; here both grow from the
first layer to the last. With N layers and layer index i = 0 ... N - 1,

    a_i = a_min + (a_max - a_min) * i / (N - 1)        the query width is about   a_i * D
    b_i = b_min + (b_max - b_min) * i / (N - 1)        the feed-forward width is  b_i * D

where D is the model width, a runs from 0.5 to 1.0 and b from 0.5 to 4.0 in the released models.
The layer index is used for nothing else: it selects the pair (a_i, b_i), that pair becomes three
integers, and from there on a layer does not know where it stands.

*Why there is a make_divisible between multiplier and width.* Widths that are multiples of 8, 64
or 256 fill vector lanes, matrix tiles and quantization groups; a query width must be whole heads,
and every KV head must serve equally many of them. So a_i * D is rounded to a multiple of
``head_dim * queries per KV head``, and b_i * D to a multiple of ``ffn_dim_divisor``
(:func:`elmcfg.geometry.make_divisible`). All of that has happened before a layer is made: the
modules here receive final integers (:class:`elmcfg.geometry.LayerShape`) and round nothing.

*The three lists of OpenELM-270M* (N = 16, D = 1280, 64 channels per head, 4 queries per KV head):

    num_query_heads  12 12 12 12 12 16 16 16 16 16 16 16 20 20 20 20
    num_kv_heads      3  3  3  3  3  4  4  4  4  4  4  4  5  5  5  5
    ffn_multipliers  0.5 0.73 0.97 1.2 1.43 1.67 1.9 2.13 2.37 2.6 2.83 3.07 3.3 3.53 3.77 4.0
    (widths          768 1024 1280 1536 1792 2048 2560 2816 3072 3328 3584 3840 4352 4608 4864 5120)

Layer 5 shows the rounding: a_5 = 0.67, so 857.6 channels are wanted; the nearest multiple of
64 * 4 is 768, which loses more than 10 %, so it becomes 1024: 16 heads.

*The parts*, from the inside out:

    attention.py      fused QKV projection, grouped queries, QK norm, RoPE, causal attention
    feed_forward.py   SwiGLU, or the same without its gate
    block.py          pre-norm residual block around the two
    transformer.py    OpenELMModel (tokens to hidden states) and Model (to logits, head tied or not)
    cache.py          KVCache, interchangeable with mlx-lm's
    quantized.py      attention over mlx-lm's quantized cache
    layers.py         Linear and Embedding without initial random numbers
    build.py          build(config): all of it with reproducible weights, nothing evaluated

A tensor's name here is its name in the released checkpoints. Shape letters in the comments:
B batch, L sequence, D model width, H channels per head, Q query heads, K key/value heads,
F feed-forward width.
"""

from elmcfg.backend import import_mlx

# Before anything below imports MLX: an OpenBLAS must be in the process first to be used.
import_mlx()

from elmcfg.model.attention import Attention  # noqa: E402
from elmcfg.model.block import TransformerBlock  # noqa: E402
from elmcfg.model.build import DTYPES, as_dtype, build  # noqa: E402
from elmcfg.model.cache import KVCache, make_cache  # noqa: E402
from elmcfg.model.feed_forward import MLP  # noqa: E402
from elmcfg.model.transformer import Model, OpenELMModel  # noqa: E402

__all__ = [
    "DTYPES",
    "MLP",
    "Attention",
    "KVCache",
    "Model",
    "OpenELMModel",
    "TransformerBlock",
    "as_dtype",
    "build",
    "make_cache",
]
