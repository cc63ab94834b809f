"""What a transition looks like before it has a structure: terms in index notation, and a layout of axes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recc.ir.build import ONE, ZERO, add, binary
from recc.ir.nodes import Axis, Expr, Size
from recc.structures.algebra import Algebra


@dataclass(frozen=True)
class Term:
    """The sum over `bound` of the product of the factors and `source[index]`, in the algebra at hand."""

    factors: tuple[Expr, ...]
    source: str
    index: tuple[Axis | int, ...]
    bound: tuple[Axis, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The sizes of a state, and the places that a transition mixes or differs along; along others it is the same."""

    sizes: tuple[Size, ...] = ()
    scaled: tuple[int, ...] = ()
    mixed: tuple[int, ...] = ()

    def named(self, places: tuple[int, ...]) -> str:
        """The sizes at some places, as messages write them."""
        return ", ".join(str(self.sizes[place]) for place in places)

    def shape(self, places: tuple[int, ...], sizes: dict[str, int]) -> tuple[int, ...]:
        return tuple(_number(self.sizes[place], sizes) for place in places)

    def spread(self, core: np.ndarray, sizes: dict[str, int]) -> np.ndarray:
        """The whole transition `(*sizes, *sizes)` of which `core` is the part `(*scaled, *mixed, *mixed)`."""
        rank = len(self.sizes)
        places = self.scaled + self.mixed + tuple(rank + place for place in self.mixed)
        order = sorted(range(len(places)), key=places.__getitem__)
        shape = [1] * (2 * rank)
        for place, length in zip(places, core.shape, strict=True):
            shape[place] = length
        result = core.transpose(order).reshape(shape)
        for place in (place for place in range(rank) if place not in self.mixed):
            length = _number(self.sizes[place], sizes)
            ends = [length if at in (place, rank + place) else 1 for at in range(2 * rank)]
            result = result * np.eye(length).reshape(ends)
        return result


@dataclass(frozen=True)
class Form:
    """One stage of an update, linear in the value that it starts from: its terms over the state's axes.

    `terms` is None where the stage cannot be written in index notation (neighbourhoods, solves). `non_negative` says
    that the coefficient of the terms that leave every axis in its place is known not to be negative. `layouts` has
    those of all states, where several are coupled; `layout` is then that of one which is mixed most, and `coupled` has
    each state's name and terms. `varying` are names whose value may differ from step to step."""

    axes: tuple[Axis, ...]
    layout: Layout
    algebra: Algebra
    terms: tuple[Term, ...] | None
    layouts: tuple[Layout, ...] = ()
    non_negative: bool = False
    coupled: tuple[tuple[str, tuple[Term, ...]], ...] = ()
    varying: frozenset[str] = frozenset()

    @property
    def states(self) -> int:
        return max(1, len(self.layouts))

    @cached_property
    def kept(self) -> tuple[Term, ...]:
        """The terms that leave every axis in its place."""
        return tuple(term for term in self.terms or () if term.index == self.axes and not term.bound)

    @cached_property
    def crossing(self) -> tuple[Term, ...]:
        return tuple(term for term in self.terms or () if term not in self.kept)

    @property
    def coefficient(self) -> Expr | None:
        """What every element is multiplied by where it stands, None if by nothing."""
        if not self.kept:
            return None
        total = product(self.kept[0].factors, self.algebra)
        for term in self.kept[1:]:
            other = product(term.factors, self.algebra)
            total = add(total, other) if self.algebra.plus == "add" else binary(self.algebra.plus, total, other)
        return total


def product(factors: tuple[Expr, ...], algebra: Algebra) -> Expr:
    """The factors as one expression, in an algebra's product."""
    if not factors:
        return ONE if algebra.times == "mul" else ZERO
    total = factors[0]
    for factor in factors[1:]:
        total = binary(algebra.times, total, factor)
    return total


def _number(size: Size, sizes: dict[str, int]) -> int:
    return size if isinstance(size, int) else sizes[size]
