"""ELM103: a value of the wrong type. Found by :mod:`elmcfg.config`."""

from elmcfg.diagnostics import Severity
from elmcfg.rules.page import Page

PAGE = Page(
    code="ELM103",
    name="wrong-type",
    severity=Severity.ERROR,
    what="""
        A value has the wrong type: a list or a string where a number belongs, a fraction where a
        whole number belongs, true where a number belongs.
    """,
    why="""
        mlx-lm and the hub's code check no types; what happens depends on where the value is first
        used. A frequent one in YAML 1.1 is 1e-6, which is a string there; 1.0e-6 is the number.
    """,
    bad="rms_norm_eps: 1e-6",
    good="rms_norm_eps: 1.0e-6",
    source="yaml.org/type/float.html",
)
