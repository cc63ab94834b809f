"""`Source`: what a step adds to a state whatever the state holds: nothing, or a sum of separable products."""

from __future__ import annotations

from collections.abc import Iterable

from recc.ir.build import is_const
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Let,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    SizeOf,
    Solve,
    Unary,
    Where,
    Window,
)
from recc.structures.algebra import REAL, Algebra
from recc.structures.polynomial import Polynomial

Side = frozenset[Axis]
NOTHING = Polynomial()
ONE = Polynomial.product((), 1)
LINEAR = ("neg", "conj")


class Source:
    """The exogenous part of values that are affine in some carried states: what they are where these states are zero.

    Zero is the algebra's. Ranks are upper bounds in the sense of matrices: the fewest products of something over the
    rows with something over the columns (Hadamard products multiply ranks, sums add them)."""

    def __init__(self, recurrence: Recurrence, carried: Iterable[str], algebra: Algebra = REAL) -> None:
        self.algebra = algebra
        self._carried = frozenset(carried)
        self._lets: dict[str, Let] = {let.name: let for let in recurrence.lets}
        self._vanishing: set[str] = set()
        for let in recurrence.lets:
            if self.vanishes(let.expr):
                self._vanishing.add(let.name)

    def vanishes(self, expr: Expr) -> bool:
        """Whether a value is the algebra's zero where the carried states are."""
        match expr:
            case Const(value):
                return not isinstance(value, bool) and value == self.algebra.zero
            case Ref(name):
                return name in self._carried or name in self._vanishing
            case Unary(op, x):
                return self.algebra is REAL and op in ("neg", "conj", "real", "imag") and self.vanishes(x)
            case Where(_, x, y):
                return self.vanishes(x) and self.vanishes(y)
            case Binary(op, x, y):
                return self._vanishing_binary(op, x, y)
            case Reduce(op, x):
                return op == self.algebra.reduce and self.vanishes(x)
            case Roll(x) | Window(x) | Fold(x) | Solve(_, x):
                return self.algebra is REAL and self.vanishes(x)
            case _:
                return False

    def _vanishing_binary(self, op: str, x: Expr, y: Expr) -> bool:
        if op == self.algebra.plus or (op == "sub" and self.algebra is REAL):
            return self.vanishes(x) and self.vanishes(y)
        if op == self.algebra.times:
            return self.vanishes(x) or self.vanishes(y)
        return op == self.algebra.over and self.vanishes(x)

    def rank(self, expr: Expr, rows: Side, columns: Side) -> Polynomial | None:
        """The rank in (+,x) between rows and columns; zero if nothing is added, None if no bound is known.

        `beta * outer(k, v - k @ S)` has rank 1 between K and V, `sum(outer(k, v), axis=M)` the size of M."""
        if self.vanishes(expr):
            return NOTHING
        if not (set(expr.axes) & rows and set(expr.axes) & columns):
            return ONE
        match expr:
            case Ref(name):
                return self._named(expr, rows, columns) if name in self._lets else None
            case Unary(op, x):
                return self.rank(x, rows, columns) if op in LINEAR else None
            case Binary(op, x, y):
                return self._binary(op, x, y, rows, columns)
            case Where():
                return self._choice(expr, rows, columns)
            case Reduce("sum", x, over):
                return self._sum(x, over, rows, columns)
            case Roll(x) | Window(x) | Fold(x):
                return self.rank(x, rows, columns)
            case Const() | SizeOf() | Arange() | Reduce() | Solve() | Fixpoint():
                return None

    def _named(self, ref: Ref, rows: Side, columns: Side) -> Polynomial | None:
        let = self._lets[ref.name]
        places = list(zip(let.axes, ref.index, strict=True))
        inside = (frozenset(own for own, item in places if item in side) for side in (rows, columns))
        return self.rank(let.expr, *inside)

    def _binary(self, op: str, x: Expr, y: Expr, rows: Side, columns: Side) -> Polynomial | None:
        if op == "pow" and is_const(y, 2):
            return self._binary("mul", x, x, rows, columns)
        if op == "div" and set(y.axes) & rows and set(y.axes) & columns:
            return None
        if op not in ("add", "sub", "mul", "div"):
            return None
        first = self.rank(x, rows, columns)
        second = ONE if op == "div" else self.rank(y, rows, columns)
        if first is None or second is None:
            return None
        return first + second if op in ("add", "sub") else first * second

    def _choice(self, expr: Where, rows: Side, columns: Side) -> Polynomial | None:
        """A condition that holds for whole rows or columns keeps the rank of either side; without axes it picks one."""
        first, second = self.rank(expr.x, rows, columns), self.rank(expr.y, rows, columns)
        axes = set(expr.test.axes)
        if first is None or second is None or (axes & rows and axes & columns):
            return None
        same = first == second and not axes & (rows | columns)
        return first if same else first + second

    def _sum(self, x: Expr, over: tuple[Axis, ...], rows: Side, columns: Side) -> Polynomial | None:
        """A summed axis belongs to one of the sides, or multiplies the rank by its size."""
        if not over:
            return self.rank(x, rows, columns)
        axis, rest = over[0], over[1:]
        fixed = self._sum(x, rest, rows, columns)
        found = [
            self._sum(x, rest, rows | {axis}, columns),
            self._sum(x, rest, rows, columns | {axis}),
            None if fixed is None else fixed * Polynomial.product((axis.size,)),
        ]
        return min((rank for rank in found if rank is not None), key=lambda rank: rank.order, default=None)
