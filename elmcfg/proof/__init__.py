"""Proves on real MLX that a config builds and runs: :func:`prove` gives a :class:`Report`.

    registry.py     the checks by name, what each proves, and whether it needs evaluated weights
    checks/         one module per check, one function each
    subject.py      what is being proved: config, model, tokens, made once and shared by the checks
    runner.py       prove(): arguments, memory, device, then one check after another
    memory.py       how many bytes the checks will need, and the refusal when they do not fit
    free_memory.py  how many bytes there are
    device.py       which device, and its name for people
    report.py       the result

A check's function takes the subject and returns a line of detail, or raises: ``CheckFailedError``
with a line that says what is wrong, or anything else, which is reported as it is. A new check is a
module in ``checks/`` and a line in the registry.

Importing this package does not import MLX; :func:`prove` does.
"""

from elmcfg.proof.device import DeviceError
from elmcfg.proof.memory import NotEnoughMemoryError
from elmcfg.proof.registry import CHECKS, Check
from elmcfg.proof.report import CheckResult, Report
from elmcfg.proof.runner import prove

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "DeviceError",
    "NotEnoughMemoryError",
    "Report",
    "prove",
]
