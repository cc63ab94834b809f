"""`fractional_form`: an update that is linear-fractional in its state, element by element."""

from __future__ import annotations

from dataclasses import dataclass

from recc.ir.build import ONE, ZERO, add, is_const, mul, neg
from recc.ir.nodes import Binary, Expr, Recurrence, Ref, Unary, Where
from recc.ir.traverse import names, nodes, substitute

# Coefficients are written out through all definitions; beyond this size the scan would not pay.
LARGEST_COEFFICIENT = 2000


@dataclass(frozen=True)
class Fraction:
    """`(a*h + b) / (c*h + d)` of a state `h`: a 2x2 matrix of exogenous expressions for every element."""

    a: Expr
    b: Expr
    c: Expr
    d: Expr

    @property
    def carried(self) -> bool:
        return not (is_const(self.a, 0) and is_const(self.c, 0))

    @property
    def parts(self) -> tuple[Expr, Expr, Expr, Expr]:
        return self.a, self.b, self.c, self.d

    @property
    def whole(self) -> bool:
        return is_const(self.c, 0) and is_const(self.d, 1)


class NotFractional(Exception):
    """A value that is not linear-fractional; `culprit` is the smallest expression at fault."""

    def __init__(self, culprit: Expr) -> None:
        super().__init__()
        self.culprit = culprit


def fractional_form(recurrence: Recurrence, state: str) -> Fraction:
    """The matrix of an update over the state's axes, e.g. of `h / (1 + h)`: a = 1, b = 0, c = 1, d = 1.

    Raises `NotFractional` if no chain of sums, products with exogenous values and quotients of values over one
    denominator gives the update. Nothing is cancelled."""
    var = next(item.var for item in recurrence.states if item.name == state)
    reader = _Reader(recurrence, var.ref())
    return reader.of(recurrence.update_of(state))


class _Reader:
    def __init__(self, recurrence: Recurrence, state: Ref) -> None:
        self.state = state
        self.lets = {let.name: let for let in recurrence.lets}
        self.known: dict[str, Fraction | NotFractional] = {}
        carried = {state.name}
        for let in recurrence.lets:
            if names(let.expr) & carried:
                carried.add(let.name)
                self.known[let.name] = self._settled(let.expr)
        self.carried = frozenset(carried)

    def _settled(self, expr: Expr) -> Fraction | NotFractional:
        try:
            return self.of(expr)
        except NotFractional as found:
            return found

    def of(self, expr: Expr) -> Fraction:
        if not names(expr) & (self.known.keys() | {self.state.name}):
            return Fraction(ZERO, expr, ZERO, ONE)
        form = self._combined(expr)
        if form is None or sum(1 for part in form.parts for _ in nodes(part)) > LARGEST_COEFFICIENT:
            raise NotFractional(expr)
        return form

    def _combined(self, expr: Expr) -> Fraction | None:
        match expr:
            case Ref():
                return self._ref(expr)
            case Unary("neg", x):
                inner = self.of(x)
                return Fraction(neg(inner.a), neg(inner.b), inner.c, inner.d)
            case Binary(op, x, y) if op in ("add", "sub", "mul", "div"):
                return _RULES[op](self.of(x), self.of(y))
            case Where(test, x, y) if not names(test) & (self.known.keys() | {self.state.name}):
                pairs = zip(self.of(x).parts, self.of(y).parts, strict=True)
                return Fraction(*(one if one == other else Where(test, one, other) for one, other in pairs))
            case _:
                return None

    def _ref(self, ref: Ref) -> Fraction | None:
        if ref.name == self.state.name:
            return Fraction(ONE, ZERO, ZERO, ONE) if ref.index == self.state.index else None
        form, let = self.known[ref.name], self.lets[ref.name]
        if isinstance(form, NotFractional):
            raise form
        places = dict(zip(let.axes, ref.index, strict=True))
        if any(places[axis] != axis for axis in self.state.axes if axis in places):
            return None
        return Fraction(*(substitute(part, places) for part in form.parts))


def _sum(x: Fraction, y: Fraction) -> Fraction | None:
    if not y.carried and y.whole:
        return Fraction(add(x.a, _times(y.b, x.c)), add(x.b, _times(y.b, x.d)), x.c, x.d)
    if not x.carried and x.whole:
        return _sum(y, x)
    return Fraction(add(x.a, y.a), add(x.b, y.b), x.c, x.d) if (x.c, x.d) == (y.c, y.d) else None


def _difference(x: Fraction, y: Fraction) -> Fraction | None:
    return _sum(x, Fraction(neg(y.a), neg(y.b), y.c, y.d))


def _product(x: Fraction, y: Fraction) -> Fraction | None:
    if not y.carried and y.whole:
        return Fraction(_times(y.b, x.a), _times(y.b, x.b), x.c, x.d)
    return _product(y, x) if not x.carried and x.whole else None


def _quotient(x: Fraction, y: Fraction) -> Fraction | None:
    if not y.carried and y.whole:
        return Fraction(x.a, x.b, _times(y.b, x.c), _times(y.b, x.d))
    if not x.carried and x.whole:
        return Fraction(_times(x.b, y.c), _times(x.b, y.d), y.a, y.b)
    return Fraction(x.a, x.b, y.a, y.b) if (x.c, x.d) == (y.c, y.d) else None


_RULES = {"add": _sum, "sub": _difference, "mul": _product, "div": _quotient}


def _times(x: Expr, y: Expr) -> Expr:
    """The product of two coefficients. Zero means that there is no such term, not a zero that meets infinity."""
    return ZERO if is_const(x, 0) or is_const(y, 0) else mul(x, y)
