"""Conditions, simplified by the laws of Boolean algebra, which hold for them exactly."""

from __future__ import annotations

from collections.abc import Mapping

from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, Let, Reduce, Ref, Unary
from recc.ir.traverse import inline

TRUE, FALSE = Const(True), Const(False)
DUAL = {"and": "or", "or": "and"}


def negation(x: Expr) -> Expr:
    if isinstance(x, Const):
        return Const(not x.value)
    return x.x if isinstance(x, Unary) and x.op == "not" else Unary("not", x)


def conjunction(x: Expr | None, y: Expr) -> Expr:
    """`x and y`, where None stands for true; it may lack axes that no longer matter."""
    return y if x is None else _combined("and", x, y)


def disjunction(x: Expr | None, y: Expr | None) -> Expr | None:
    """`x or y`, where None stands for true."""
    return None if x is None or y is None else unless_true(_combined("or", x, y))


def unless_true(x: Expr | None) -> Expr | None:
    """None for a condition that always holds."""
    return None if x == TRUE else x


def opened(x: Expr, lets: Mapping[str, Let]) -> Expr:
    """A condition by its meaning where that is a place on an axis, whatever name it was given."""
    let = lets.get(x.name) if isinstance(x, Ref) else None
    match let and let.expr:
        case Binary("eq", Arange(), Const() | Arange()):
            return inline(x, {let.name: let})  # type: ignore[union-attr]
        case _:
            return x


def anywhere(x: Expr, over: tuple[Axis, ...], sizes: Mapping[str, int]) -> Expr:
    """Whether a condition holds anywhere along some axes, of which some have a known size.

    A fixed place is among the places of its axis; nothing else is known of what a condition compares."""
    over = tuple(axis for axis in over if axis in x.axes)
    if not over:
        return x
    if isinstance(x, Binary) and x.op == "or":
        return _combined("or", anywhere(x.x, over, sizes), anywhere(x.y, over, sizes))
    rest = [term for term in _terms("and", x) if not _is_a_place(term, over, sizes)]
    fixed = [term for term in rest if not set(term.axes) & set(over)]
    varying = _joined("and", [term for term in rest if term not in fixed])
    axes = tuple(axis for axis in over if axis in varying.axes)
    return _joined("and", [*fixed, Reduce("any", varying, axes) if axes else varying])


def _is_a_place(term: Expr, over: tuple[Axis, ...], sizes: Mapping[str, int]) -> bool:
    """Whether a condition is true at one place of one of the axes."""
    match term:
        case Binary("eq", Arange(axis), Const(place)):
            size = sizes.get(axis.size, 1) if isinstance(axis.size, str) else axis.size
            return axis in over and place in range(size)
        case _:
            return False


def simplified(expr: Binary) -> Expr:
    """A conjunction or disjunction whose parts are simplified; the same object if nothing is simpler."""
    result = _combined(expr.op, expr.x, expr.y)
    return expr if set(result.axes) != set(expr.axes) or result == expr else result


def _combined(op: str, x: Expr, y: Expr) -> Expr:
    return _joined(op, [_simple(x), _simple(y)])


def _simple(x: Expr) -> Expr:
    return _combined(x.op, x.x, x.y) if isinstance(x, Binary) and x.op in DUAL else x


def _terms(op: str, x: Expr) -> list[Expr]:
    return [*_terms(op, x.x), *_terms(op, x.y)] if isinstance(x, Binary) and x.op == op else [x]


def _joined(op: str, terms: list[Expr]) -> Expr:
    """All terms, which are simple, under one operation: `and` or `or`."""
    neutral, absorbing = (TRUE, FALSE) if op == "and" else (FALSE, TRUE)
    kept: list[Expr] = []
    waiting = [part for term in terms for part in _terms(op, term)]
    while waiting:
        term = waiting.pop(0)
        if term == absorbing:
            return absorbing
        found = next(((other, pair) for other in kept if (pair := _simpler_pair(op, other, term)) is not None), None)
        if found is not None:
            kept.remove(found[0])
            waiting = [part for new in found[1] for part in _terms(op, new)] + waiting
        elif term != neutral:
            kept.append(term)
    result = kept[0] if kept else neutral
    for term in kept[1:]:
        result = Binary(op, result, term)
    return result


def _simpler_pair(op: str, x: Expr, y: Expr) -> list[Expr] | None:
    """What may stand in place of two terms; None if they are as simple as they can be.

    For `or`: of `a` and `a and b` the first is enough; `a and b` beside `a and not b and c` does without the `not b`,
    and so `a and b` beside `a and not b` is `a`."""
    first, second = _terms(DUAL[op], x), _terms(DUAL[op], y)
    for one, other, term in ((first, second, x), (second, first, y)):
        different = [part for part in one if part not in other]
        if not different:
            return [term]
        opposite = negation(different[0])
        if len(different) == 1 and opposite in other:
            return [term, _joined(DUAL[op], [part for part in other if part != opposite])]
    return None
