"""Random configs, valid and broken, held against mlx-lm itself: a share of tests/fuzz/verdicts.py.

Ten thousand of them are a run of that script.
"""

import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("fuzz")))
import verdicts

OLDER = tuple(map(int, version("mlx").split(".")[:3])) < (0, 32, 4)


@pytest.mark.skipif(OLDER, reason="said of MLX 0.32.4; older ones differ where a config is broken")
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="others do not trap a division by zero"
)
def test_mlx_lm_does_what_is_said_of_random_configs() -> None:
    pytest.importorskip("mlx_lm")
    counts, faults = verdicts.run(500, seed=7)
    assert not faults, "\n".join(faults)
    # They are of every kind: none of this holds by never having been tried.
    kinds = {kind.partition(":")[0] for kind in counts}
    assert kinds >= {f"valid, mlx-lm {what}" for what in ("same", "another", "refuses")}
    assert kinds >= {f"broken, mlx-lm {what}" for what in ("same", "another", "refuses", "crashes")}
    assert "broken, mlx-lm refuses: ValueError in its first forward pass" in counts
