"""Proves on real MLX that a config builds and runs: :func:`prove` gives a :class:`Report`.

    registry.py     the checks by name, what each proves, and whether it needs evaluated weights
    checks/         one module per check, one function each
    subject.py      what is being proved: config, model, tokens, made once and shared by the checks
    weights.py      weights that are quick to make
    reference.py    one layer written out from the papers, for comparison
    mlx_lm.py       mlx-lm's model, likewise
    casting.py      a part of a model in another dtype
    tolerance.py    how far numbers may differ, and why
    options.py      how to prove, checked before anything starts
    runner.py       prove(): device, plan, then one check after another, in this process
    child.py        the same in a process of its own, which may crash, hang or overeat
    worker.py       that process
    fleet.py        many configs over several such processes
    memory.py       how many bytes the checks will need
    plan.py         the dtype and the checks that fit, or the refusal
    free_memory.py  how many bytes there are
    device.py       which device, and its name for people
    report.py       the result, and what is told on the way

A check's function takes the subject and returns a line of detail, or raises: ``CheckFailedError``
with a line that says what is wrong, or anything else, which is reported as it is. A new check is a
module in ``checks/`` and a line in the registry.

Importing this package does not import MLX; :func:`prove` does. Names are imported when they are
first used: a process that proves has no use for what starts one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elmcfg.proof.child import Child
    from elmcfg.proof.device import DeviceError
    from elmcfg.proof.fleet import prove_all
    from elmcfg.proof.options import Options
    from elmcfg.proof.plan import NotEnoughMemoryError
    from elmcfg.proof.registry import CHECKS, Check
    from elmcfg.proof.report import CheckResult, CheckStarted, Event, Plan, Progress, Report, Step
    from elmcfg.proof.runner import prove

_HOMES = {
    "CHECKS": "registry",
    "Check": "registry",
    "CheckResult": "report",
    "CheckStarted": "report",
    "Child": "child",
    "DeviceError": "device",
    "Event": "report",
    "NotEnoughMemoryError": "plan",
    "Options": "options",
    "Plan": "report",
    "Progress": "report",
    "Report": "report",
    "Step": "report",
    "prove": "runner",
    "prove_all": "fleet",
}

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "CheckStarted",
    "Child",
    "DeviceError",
    "Event",
    "NotEnoughMemoryError",
    "Options",
    "Plan",
    "Progress",
    "Report",
    "Step",
    "prove",
    "prove_all",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
