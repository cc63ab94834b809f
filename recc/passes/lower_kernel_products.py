"""Sums of products with what does not vary taken out: `sum(k * (exp * S))` is `exp * sum(k * S)`.

A step's sums over a state are most of its work. A sum is written as sums of terms, each a product of factors; factors
that do not differ along a summed axis stand before that axis's sum, and small factors are multiplied first. In
`sum over V of g[V] * (exp * S[K, V] + bk[K] * diff[V])` this leaves `exp * sum(g * S) + bk * sum(g * diff)`: one
operation an element instead of four."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import reduce

from recc.ir.build import add, mul, neg
from recc.ir.nodes import Axis, Binary, Const, Expr, Let, Recurrence, Reduce, Ref, Size, SizeOf, Unary
from recc.ir.traverse import freshen, inline, map_exprs, nodes, rewrite
from recc.passes.tidy import drop_unused, expressions

MOST_TERMS = 4
Term = tuple[bool, tuple[Expr, ...]]  # whether it is subtracted, and its factors


def factor_sums(recurrence: Recurrence, ranks: dict[Size, int]) -> Recurrence:
    """The same recurrence, with sums and products regrouped; `ranks` say which axes are summed first."""
    return drop_unused(_Factoring(recurrence, ranks).result())


class _Factoring:
    def __init__(self, recurrence: Recurrence, ranks: dict[Size, int]):
        self._recurrence, self._ranks = recurrence, ranks
        uses: Counter[str] = Counter()
        for expr in expressions(recurrence):
            uses.update(node.name for node in nodes(expr) if isinstance(node, Ref))
        self._opened = {let.name: let for let in recurrence.lets if self._opens(let, uses[let.name])}

    def _opens(self, let: Let, uses: int) -> bool:
        """Whether a definition is worth writing out in sums: a product, or what nothing else needs."""
        if len(let.axes) < 2 or let.kind != "real" or set(let.expr.axes) != set(let.axes):
            return False
        found = _operations(let.expr)
        return found is not None and (found <= {"mul", "neg"} or uses == 1)

    def result(self) -> Recurrence:
        summed = map_exprs(self._recurrence, lambda expr: rewrite(expr, self._apart))
        return map_exprs(summed, lambda expr: rewrite(expr, self._regrouped))

    # --- sums ---

    def _apart(self, node: Expr) -> Expr:
        if not isinstance(node, Reduce) or node.op != "sum" or node.kind != "real":
            return node
        terms = self._terms(node.x)
        space = set(node.axes) | set(node.over)
        inside = [{a for f in factors if set(f.axes) & set(node.over) for a in f.axes} for _, factors in terms]
        if len(terms) > MOST_TERMS or sum(axes >= space for axes in inside) > 1:
            return node
        result: Expr | None = None
        for negative, factors in terms:
            value = self._summed(list(factors), node.over)
            value = neg(value) if negative else value
            result = value if result is None else add(result, value)
        assert result is not None
        return result if set(result.axes) == set(node.axes) else node

    def _terms(self, expr: Expr) -> list[Term]:
        """An expression as a sum of products, with definitions opened."""
        match expr:
            case Unary("neg", x):
                return [(not negative, factors) for negative, factors in self._terms(x)]
            case Binary("add" | "sub" as op, x, y) if set(x.axes) == set(y.axes):
                turned = [(negative != (op == "sub"), factors) for negative, factors in self._terms(y)]
                return self._terms(x) + turned
            case Binary("mul", x, y):
                pairs = [(a, b) for a in self._terms(x) for b in self._terms(y)]
                if len(pairs) <= MOST_TERMS:
                    return [(a != b, first + second) for (a, first), (b, second) in pairs]
            case Ref(name) if name in self._opened:
                return self._terms(freshen(inline(expr, {name: self._opened[name]})))
        return [(False, (expr,))]

    def _summed(self, factors: list[Expr], over: tuple[Axis, ...]) -> Expr:
        """The sum of a product, over one axis at a time where a factor does not have it."""
        outside = [factor for factor in factors if not set(factor.axes) & set(over)]
        inside = [factor for factor in factors if set(factor.axes) & set(over)]
        missing = tuple(axis for axis in over if not any(axis in factor.axes for factor in inside))
        over = tuple(axis for axis in over if axis not in missing)
        outside += [Const(axis.size) if isinstance(axis.size, int) else SizeOf(axis.size) for axis in missing]
        for axis in sorted(over, key=lambda axis: self._ranks.get(axis.size, 0)) if len(over) > 1 else ():
            having = [factor for factor in inside if axis in factor.axes]
            if len(having) < len(inside):
                rest = [factor for factor in inside if axis not in factor.axes]
                inner = self._summed(having, (axis,))
                return _product([*outside, self._summed([*rest, inner], tuple(a for a in over if a != axis))])
        return _product([*outside, Reduce("sum", _product(inside), over)] if over else outside)

    # --- products ---

    def _regrouped(self, node: Expr) -> Expr:
        """Products with their small factors first, which are then multiplied once for all elements."""
        if not (isinstance(node, Binary) and node.op == "mul" and node.kind == "real"):
            return node
        factors = self._factors(node)
        return _product(factors) if len(factors) > 2 else node

    def _factors(self, expr: Expr) -> list[Expr]:
        if isinstance(expr, Binary) and expr.op == "mul":
            return self._factors(expr.x) + self._factors(expr.y)
        if isinstance(expr, Ref) and expr.name in self._opened:
            opened = self._opened[expr.name].expr
            if isinstance(opened, Binary) and _operations(opened) == {"mul"}:
                return self._factors(freshen(inline(expr, {expr.name: self._opened[expr.name]})))
        return [expr]


def _operations(expr: Expr) -> set[str] | None:
    """The operations of an expression, if it is made of sums and products alone."""
    found: set[str] = set()
    for node in nodes(expr):
        if isinstance(node, (Unary, Binary)) and node.op in ("neg", "add", "sub", "mul"):
            found.add(node.op)
        elif not isinstance(node, (Ref, Const, SizeOf)):
            return None
    return found


def _product(factors: Iterable[Expr]) -> Expr:
    """A product, factors with few axes first, those over the same axes together."""
    return reduce(mul, sorted(factors, key=lambda item: (len(item.axes), sorted(str(axis) for axis in item.axes))))
