"""`Monomials` writes a value out as a sum of products of a state with itself, over values that depend on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recc.ir.build import ONE, is_const
from recc.ir.nodes import Axis, Binary, Const, Expr, Let, Reduce, Ref, SizeOf, Unary
from recc.ir.traverse import fresh_axis, names, substitute

MOST_MONOMIALS = 64


@dataclass(frozen=True)
class Monomial:
    """The sum over `bound` of the factors, which do not depend on the source, times the source at each of `places`,
    divided by each value of `below`, which do."""

    factors: tuple[Expr, ...] = ()
    places: tuple[tuple[Axis | int, ...], ...] = ()
    below: tuple[Expr, ...] = ()
    bound: tuple[Axis, ...] = ()


class NotPolynomial(Exception):
    """A value that is no sum of monomials; `culprit` is the smallest expression at fault."""

    def __init__(self, culprit: Expr) -> None:
        super().__init__()
        self.culprit = culprit


class Monomials:
    """Expands expressions through the definitions between a source and them."""

    def __init__(self, source: str, lets: Iterable[Let]) -> None:
        self._source = source
        self._lets: dict[str, Let] = {}
        self._known: dict[str, tuple[Monomial, ...] | NotPolynomial] = {}
        for let in lets:
            if let.name != source and self.reads(let.expr):
                self._lets[let.name] = let
                self._known[let.name] = self._settled(let.expr)

    def reads(self, expr: Expr) -> bool:
        """Whether an expression depends on the source."""
        return not names(expr).isdisjoint({self._source, *self._lets})

    def of(self, expr: Expr) -> tuple[Monomial, ...]:
        """The monomials of an expression. Raises `NotPolynomial`."""
        if not self.reads(expr):
            return () if is_const(expr, 0) else (Monomial((expr,)),)
        found = self._combined(expr)
        if found is None or len(found) > MOST_MONOMIALS:
            raise NotPolynomial(expr)
        return found

    def _settled(self, expr: Expr) -> tuple[Monomial, ...] | NotPolynomial:
        try:
            return self.of(expr)
        except NotPolynomial as found:
            return found

    def _combined(self, expr: Expr) -> tuple[Monomial, ...] | None:
        match expr:
            case Ref():
                return self._ref(expr)
            case Unary("neg", x):
                return tuple(_times(item, Const(-1)) for item in self.of(x))
            case Binary("add", x, y):
                return self.of(x) + self.of(y)
            case Binary("sub", x, y):
                return self.of(x) + tuple(_times(item, Const(-1)) for item in self.of(y))
            case Binary("mul", x, y):
                return tuple(_product(one, other) for one in self.of(x) for other in self.of(y))
            case Binary("div", x, y) if self.reads(y):
                return tuple(_product(item, Monomial(below=(y,))) for item in self.of(x))
            case Binary("div", x, y):
                return tuple(_times(item, Binary("div", ONE, y)) for item in self.of(x))
            case Reduce("sum", x, over):
                return tuple(_reduced(item, over) for item in self.of(x))
            case _:
                return None

    def _ref(self, ref: Ref) -> tuple[Monomial, ...]:
        if ref.name == self._source:
            return (Monomial(places=(ref.index,)),)
        found = self._known[ref.name]
        if isinstance(found, NotPolynomial):
            raise found
        places = dict(zip(self._lets[ref.name].axes, ref.index, strict=True))
        return tuple(_placed(item, places) for item in found)


def _times(item: Monomial, factor: Expr) -> Monomial:
    return Monomial((*item.factors, factor), item.places, item.below, item.bound)


def _product(x: Monomial, y: Monomial) -> Monomial:
    y = _placed(y, {})
    return Monomial(x.factors + y.factors, x.places + y.places, x.below + y.below, x.bound + y.bound)


def _reduced(item: Monomial, over: tuple[Axis, ...]) -> Monomial:
    """The monomial summed over axes, which are renamed: another sum may use the same names."""
    used = {axis for expr in item.factors + item.below for axis in expr.axes}
    used |= {axis for place in item.places for axis in place if isinstance(axis, Axis)}
    counts = [Const(a.size) if isinstance(a.size, int) else SizeOf(a.size) for a in over if a not in used]
    fresh: dict[Axis, Axis | int] = {axis: fresh_axis(axis) for axis in over if axis in used}
    placed = _placed(item, fresh)
    bound = tuple(axis for axis in fresh.values() if isinstance(axis, Axis))
    return Monomial((*placed.factors, *counts), placed.places, placed.below, placed.bound + bound)


def _placed(item: Monomial, places: dict[Axis, Axis | int]) -> Monomial:
    """The monomial with other axes, or fixed positions, in place of free ones; its bound axes are renamed."""
    every: dict[Axis, Axis | int] = {**places, **{axis: fresh_axis(axis) for axis in item.bound}}
    return Monomial(
        tuple(substitute(factor, every) for factor in item.factors),
        tuple(tuple(every.get(i, i) if isinstance(i, Axis) else i for i in place) for place in item.places),
        tuple(substitute(value, every) for value in item.below),
        tuple(axis for axis in (every[old] for old in item.bound) if isinstance(axis, Axis)),
    )
