"""There and back: every model that a form can express has the same layers afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elmcfg
from elmcfg import strategies
from elmcfg.conversion import gguf, losses
from elmcfg.conversion.hub import with_recipe
from elmcfg.conversion.tokenizer import placeholder
from elmcfg.conversion.weights import Weights
from elmcfg.costs import cost
from elmcfg.document import parse
from elmcfg.formats import hub
from elmcfg.geometry import geometry
from elmcfg.linter import check
from elmcfg.portability import verdicts
from elmcfg.portability.verdict import Outcome
from elmcfg.sources import read, translated

EXPRESSIBLE = {
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
    "ffn_with_glu": True,
}
_CONFIGS = strategies.configs(max_layers=6, max_dim=128)
_TOLD = ("max_context_length", "rms_norm_eps", "rope_freq_constant", "torch_dtype")


def shapes_of(config: elmcfg.Config) -> dict[str, tuple[int, ...]]:
    return geometry(config).tensor_shapes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    values=_CONFIGS,
    context=st.integers(1, 100_000),
    eps=st.floats(1e-7, 0.1).map(lambda x: float(f"{x:.3g}")),
    base=st.integers(2, 10_000_000),
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
)
def test_gguf(
    tmp_path: Path, values: dict[str, Any], context: int, eps: float, base: int, dtype: str
) -> None:
    pytest.importorskip("gguf")
    told = (context, eps, float(base), dtype)
    small = {"vocab_size": 7, "bos_token_id": None, "eos_token_id": 3}
    changes = EXPRESSIBLE | small | dict(zip(_TOLD, told, strict=True))
    config = elmcfg.Config.model_validate(values | changes | {"rope_max_length": 200_000})
    if cost(config).parameters.total > 1_000_000:
        return
    assert gguf.obstacles(config) == []
    shapes = shapes_of(config)
    weights = Weights(
        dict.fromkeys(shapes, "F32"),
        shapes,
        lambda n: np.zeros(shapes[n], np.float32),
        "zeros",
        "float32",
    )
    file = tmp_path / "x.gguf"
    file.unlink(missing_ok=True)
    gguf.write(file, config, weights, placeholder(7), dtype)
    read = elmcfg.load(file)
    assert shapes_of(read) == shapes
    assert tuple(getattr(read, key) for key in _TOLD) == told
    assert (read.bos_token_id, read.eos_token_id) == (None, 3)


@given(values=_CONFIGS)
def test_hub(values: dict[str, Any]) -> None:
    config = elmcfg.Config.model_validate(values)
    made = with_recipe(config)
    (verdict,) = verdicts(made, ["hf"])
    read = elmcfg.load(hub.values(made))
    assert shapes_of(read) == shapes_of(config)
    if verdict.outcome is Outcome.SAME:
        # What the hub's code looks at, and takes no other form of.
        points = hub.values(made)["qkv_multipliers"]
        assert isinstance(points, float) or len(points) == 2
        assert made.num_gqa_groups is not None


@given(values=_CONFIGS, eps=st.sampled_from([1e-6, 1e-6, 1e-5]))
def test_corenet(values: dict[str, Any], eps: float) -> None:
    """The file is read back as the same model, or refused, as the rule of that program says."""
    from elmcfg.conversion.corenet import dump
    from elmcfg.conversion.weights import ConversionError

    config = elmcfg.Config.model_validate(values | {"rms_norm_eps": eps})
    (verdict,) = verdicts(config, ["corenet"])
    try:
        text = dump(config, "it's mine")
    except ConversionError:
        assert verdict.outcome is not Outcome.SAME
        return
    assert verdict.outcome is Outcome.SAME
    read, found = check(translated(parse(text, "x.yaml")))
    assert read is not None, found
    assert shapes_of(read) == shapes_of(config)
    assert read.name == "it's mine"
    for key in ("rms_norm_eps", "rope_freq_constant", "rope_max_length", "max_context_length"):
        assert getattr(read, key) == getattr(config, key)


RECIPE = {
    "qkv_multipliers", "num_gqa_groups", "ffn_multipliers", "ffn_dim_divisor", "schedule"
}  # fmt: skip
_OTHER = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("a name"),
        "source": st.just("a source"),
        "bos_token_id": st.sampled_from([None, 1, 5]),
        "eos_token_id": st.sampled_from([None, 2, 6]),
        "initializer_range": st.sampled_from([0.02, 0.3]),
        "max_context_length": st.sampled_from([77, 2048]),
        "rms_norm_eps": st.sampled_from([1e-6, 1e-6, 1e-5]),
        "rope_freq_constant": st.sampled_from([500.0, 10_000.0]),
        "rope_max_length": st.sampled_from([154, 4096, 9999]),
        "torch_dtype": st.sampled_from(["float32", "bfloat16"]),
        "use_cache": st.booleans(),
    },
)


@pytest.mark.parametrize("form", ["hub", "mlx-lm", "gguf", "corenet", "elmcfg"])
def test_what_is_lost_is_listed(tmp_path_factory: pytest.TempPathFactory, form: str) -> None:
    """Every form, every key: what does not come back is what the rule names, and no key more."""
    if form == "gguf":
        pytest.importorskip("gguf")
    from elmcfg.conversion import ConversionError, Options, convert

    target = tmp_path_factory.mktemp("made") / {"gguf": "x.gguf"}.get(form, "x.yaml")

    @settings(max_examples=25)
    @given(values=_CONFIGS, other=_OTHER)
    def there_and_back(values: dict[str, Any], other: dict[str, Any]) -> None:
        config = elmcfg.Config.model_validate(values | {"vocab_size": 7} | other)
        if cost(config).parameters.total > 300_000:
            return
        options = Options(overwrite=True)
        try:
            told = convert(config, target, form, checkpoint=None, options=options)
        except ConversionError:
            return
        document = translated(read(target))
        back, found = check(document)
        assert back is not None, found
        assert shapes_of(back) == shapes_of(config)
        before, after = elmcfg.resolve(config), elmcfg.resolve(back)
        changed = {k for k in type(config).model_fields if getattr(before, k) != getattr(after, k)}
        if form != "elmcfg":
            changed -= RECIPE | set(losses.ABOUT)
        assert changed == set(losses.lost(config, form))
        said = [line for line in told if line.startswith("not kept")]
        assert len(said) == bool(changed)
        assert all(key in said[0] for key in changed)

    there_and_back()
