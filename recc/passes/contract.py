"""`contracted` sums a product of many factors pair by pair, where that touches fewer elements."""

from __future__ import annotations

from itertools import combinations

from recc.ir.build import mul, total
from recc.ir.nodes import Axis, Binary, Expr, Reduce


def contracted(expr: Expr) -> Expr:
    """A sum of a product with inner sums, if the most axes that any of its steps has are then fewer.

    `sum(W[i, j, d] * A[j, k] * x[d], axis=(j, d))` becomes `sum(A[j, k] * sum(W[i, j, d] * x[d], axis=d), axis=j)`.
    Greedy: the pair with the fewest axes that has one of its own to sum comes first."""
    if not (isinstance(expr, Reduce) and expr.op == "sum"):
        return expr
    factors, over, widest = _factors(expr.x), frozenset(expr.over), 0
    while len(factors) > 2:
        found = _best_pair(factors, over)
        if found is None:
            return expr
        first, second, summed = found
        widest = max(widest, len(_axes([first, second])))
        rest = list(factors)
        rest.remove(first)
        rest.remove(second)
        factors = [*rest, total(mul(first, second), summed)]
        over -= frozenset(summed)
    if max(widest, len(_axes(factors))) >= len(expr.x.axes):
        return expr
    return Reduce("sum", mul(*factors), tuple(axis for axis in expr.over if axis in over), span=expr.span)


def _factors(expr: Expr) -> list[Expr]:
    return [*_factors(expr.x), *_factors(expr.y)] if isinstance(expr, Binary) and expr.op == "mul" else [expr]


def _axes(factors: list[Expr]) -> frozenset[Axis]:
    return frozenset(axis for factor in factors for axis in factor.axes)


def _best_pair(factors: list[Expr], over: frozenset[Axis]) -> tuple[Expr, Expr, tuple[Axis, ...]] | None:
    """Two factors and the axes that can be summed as soon as they are multiplied; None if there are no such."""
    best: tuple[tuple[int, int], tuple[Expr, Expr, tuple[Axis, ...]]] | None = None
    for i, j in combinations(range(len(factors)), 2):
        rest = [factor for place, factor in enumerate(factors) if place not in (i, j)]
        every = _axes([factors[i], factors[j]])
        summed = tuple(sorted((every & over) - _axes(rest), key=lambda axis: (str(axis.size), str(axis.tag))))
        size = (len(every), len(every) - len(summed))
        if summed and (best is None or size < best[0]):
            best = size, (factors[i], factors[j], summed)
    return None if best is None else best[1]
