"""`split` takes matrices apart that a step builds and applies: `(eye(K) - beta * outer(k, k)) @ S` is two terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from recc.ir.build import ONE, is_const
from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, Let, Ref, Unary, Where
from recc.ir.traverse import inline, substitute
from recc.structures.form import Term

MOST_TERMS = 64


def split(terms: tuple[Term, ...], lets: Mapping[str, Let]) -> tuple[Term, ...]:
    """The same sum, in (+,x), with sums and products inside of matrix factors multiplied out.

    A matrix factor differs along a contracted axis and along a free one; definitions are opened where it is one. The
    identity matrix takes the place of its sum. Gives the terms back as they were if they would become too many."""
    done: list[Term] = []
    waiting = list(reversed(terms))
    while waiting:
        term = waiting.pop()
        parts = _parts(term, lets)
        if parts is None:
            done.append(term)
        else:
            waiting += reversed(parts)
        if len(done) + len(waiting) > MOST_TERMS:
            return terms
    return tuple(done)


def _parts(term: Term, lets: Mapping[str, Let]) -> tuple[Term, ...] | None:
    """A term with its first divisible matrix factor taken apart, None if there is none."""
    for place, factor in enumerate(term.factors):
        if not set(factor.axes) & set(term.bound) or set(factor.axes) <= set(term.bound):
            continue
        rest = term.factors[:place] + term.factors[place + 1 :]
        without = replace(term, factors=rest)
        found = _delta(without, factor, lets) or _divided(without, factor, lets)
        if found is not None:
            return found
    return None


def _divided(term: Term, factor: Expr, lets: Mapping[str, Let]) -> tuple[Term, ...] | None:
    match factor:
        case Ref(name) if name in lets:
            return (_with(term, inline(factor, {name: lets[name]})),)
        case Unary("neg", x):
            return (_with(term, Const(-1), x),)
        case Binary("add", x, y):
            return _with(term, x), _with(term, y)
        case Binary("sub", x, y):
            return _with(term, x), _with(term, Const(-1), y)
        case Binary("mul", x, y):
            return (_with(term, x, y),)
        case Binary("div", x, y) if not is_const(x, 1):
            return (_with(term, x, Binary("div", ONE, y)),)
        case _:
            return None


def _delta(term: Term, factor: Expr, lets: Mapping[str, Let]) -> tuple[Term, ...] | None:
    """The identity matrix: its sum over a contracted axis puts the other axis in that axis's place."""
    found = diagonal(factor, lets)
    if found is None:
        return None
    first, second, value = found
    for axis, other in ((first, second), (second, first)):
        if axis in term.bound and other not in term.bound and axis.size == other.size:
            return (_replaced(_with(term, *(() if is_const(value, 1) else (value,))), axis, other),)
    return None


def diagonal(expr: Expr, lets: Mapping[str, Let]) -> tuple[Axis, Axis, Expr] | None:
    """The axes of a matrix that is zero where their positions differ, and its value where they agree."""
    match expr:
        case Where(test, value, Const() as zero) if is_const(zero, 0):
            match _opened(test, lets):
                case Binary("eq", x, y):
                    match _opened(x, lets), _opened(y, lets):
                        case Arange(first), Arange(second):
                            return first, second, value
    return None


def _opened(expr: Expr, lets: Mapping[str, Let]) -> Expr:
    while isinstance(expr, Ref) and expr.name in lets:
        expr = inline(expr, {expr.name: lets[expr.name]})
    return expr


def _replaced(term: Term, axis: Axis, other: Axis) -> Term:
    factors = tuple(substitute(factor, {axis: other}) for factor in term.factors)
    index = tuple(other if item == axis else item for item in term.index)
    return Term(factors, term.source, index, tuple(bound for bound in term.bound if bound != axis))


def _with(term: Term, *factors: Expr) -> Term:
    return replace(term, factors=term.factors + factors)
