"""What every search is asked: a space, what must hold in it, and what costs assume there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from elmcfg.search.budgets import Bound, Conditions, Shape
from elmcfg.search.reference import RELEASED, Reference

if TYPE_CHECKING:
    from elmcfg.search.space import Space

Rule = Callable[[Shape], bool]


def any_shape(shape: Shape) -> bool:
    """The rule that allows every shape."""
    return True


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question that a space can be asked; what is best is for each search to say.

    Attributes:
        space: What is searched.
        bounds: What a design must keep to, all of them.
        conditions: What costs assume.
        reference: The shape to be like: what decides between equals.
        rule: Shapes for which it is false are counted, but none of their designs fits.
    """

    space: Space
    bounds: tuple[Bound, ...] = ()
    conditions: Conditions = field(default_factory=Conditions)
    reference: Reference = RELEASED
    rule: Rule = any_shape
