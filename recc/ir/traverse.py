"""Walking and rebuilding expressions: everything a pass needs, in a handful of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count

from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Let,
    Output,
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

_fresh = count()


def fresh_axis(like: Axis) -> Axis:
    """An axis of the same size that occurs nowhere else."""
    return Axis(like.size, f"#{next(_fresh)}")


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct subexpressions, in order."""
    match expr:
        case Const() | SizeOf() | Ref() | Arange():
            return ()
        case Unary(_, x) | Reduce(_, x) | Roll(x) | Window(x) | Fold(x):
            return (x,)
        case Binary(_, x, y):
            return (x, y)
        case Where(test, x, y):
            return (test, x, y)
        case Solve(matrix, rhs):
            return (matrix, rhs)
        case Fixpoint(_, start, given):
            return (start, *(let.expr for let in given))


def rebuild(expr: Expr, parts: tuple[Expr, ...]) -> Expr:
    """The same node over other subexpressions; the same object if none changed."""
    if all(new is old for new, old in zip(parts, children(expr), strict=True)):
        return expr
    match expr:
        case Unary() | Reduce() | Roll() | Window() | Fold():
            return replace(expr, x=parts[0])
        case Binary():
            return replace(expr, x=parts[0], y=parts[1])
        case Where():
            return replace(expr, test=parts[0], x=parts[1], y=parts[2])
        case Solve():
            return replace(expr, matrix=parts[0], rhs=parts[1])
        case Fixpoint(given=given):
            renewed = (replace(let, expr=part) for let, part in zip(given, parts[1:], strict=True))
            return replace(expr, start=parts[0], given=tuple(renewed))
        case _:
            return expr


def rewrite(expr: Expr, rule: Callable[[Expr], Expr]) -> Expr:
    """Apply `rule` to every node, from the leaves up."""
    return rule(rebuild(expr, tuple(rewrite(part, rule) for part in children(expr))))


def nodes(expr: Expr) -> Iterator[Expr]:
    """Every node, leaves first."""
    for part in children(expr):
        yield from nodes(part)
    yield expr


def names(expr: Expr) -> frozenset[str]:
    """The variables that an expression reads."""
    return frozenset(node.name for node in nodes(expr) if isinstance(node, Ref))


def symbolic_sizes(expr: Expr) -> set[str]:
    """The sizes without a number that an expression needs to know: as a number, or to make an axis of its own."""
    found: set[str | int] = set()
    for node in nodes(expr):
        if isinstance(node, SizeOf):
            found.add(node.size)
        elif isinstance(node, Arange):
            found.add(node.axis.size)
    return {size for size in found if isinstance(size, str)}


def bound_axes(expr: Expr) -> tuple[Axis, ...]:
    """The axes that an expression binds itself: reduced ones, and those inside of neighbourhoods and solves."""
    match expr:
        case Reduce(_, _, over):
            return over
        case Fold(_, _, tap):
            return (tap,)
        case Solve(_, _, row, _):
            return (row,)
        case _:
            return ()


def substitute(expr: Expr, axes: dict[Axis, Axis | int]) -> Expr:
    """Put other axes, or fixed positions, in place of free axes. Bound axes are renamed so that none is captured."""
    if not axes or not any(axis in axes for axis in expr.axes):
        return expr
    match expr:
        case Ref(_, index):
            return replace(expr, index=tuple(axes.get(i, i) if isinstance(i, Axis) else i for i in index))
        case Arange(axis):
            new = axes[axis]
            return replace(expr, axis=new) if isinstance(new, Axis) else Const(new, span=expr.span)
        case Roll() | Window() | Fold() | Solve():
            return _substitute_structured(expr, axes)
        case Fixpoint():
            return _substitute_fixpoint(expr, axes)
        case Reduce(_, x, over):
            renamed = {axis: fresh_axis(axis) for axis in over}
            return replace(expr, x=substitute(x, {**axes, **renamed}), over=tuple(renamed.values()))
        case _:
            return rebuild(expr, tuple(substitute(part, axes) for part in children(expr)))


def _substitute_structured(expr: Roll | Window | Fold | Solve, axes: dict[Axis, Axis | int]) -> Expr:
    """Neighbourhoods and solves keep whole axes; a fixed position is selected from their result."""

    def axis(old: Axis) -> Axis:
        new = axes.get(old, old)
        return new if isinstance(new, Axis) else old

    fixed = {old: new for old, new in axes.items() if isinstance(new, int)}
    kept = [own for own in _own_axes(expr) if own in fixed]
    inner = {old: new for old, new in axes.items() if old not in kept}
    match expr:
        case Roll(x, a):
            result = replace(expr, x=substitute(x, inner), axis=axis(a))
        case Window(x, a, tap):
            result = replace(expr, x=substitute(x, inner), axis=axis(a), tap=axis(tap))
        case Fold(x, a, tap):
            new_tap = fresh_axis(tap)
            result = replace(expr, x=substitute(x, {**inner, tap: new_tap}), axis=axis(a), tap=new_tap)
        case Solve(matrix, rhs, row, col):
            new_row = fresh_axis(row)
            both = {**inner, row: new_row}
            result = replace(
                expr, matrix=substitute(matrix, both), rhs=substitute(rhs, both), row=new_row, col=axis(col)
            )
    return select(result, {own: fixed[own] for own in kept})


def _substitute_fixpoint(expr: Fixpoint, axes: dict[Axis, Axis | int]) -> Expr:
    """Other axes at the places of a solution; a fixed position or a diagonal is selected from the whole of it."""
    index: list[Axis] = []
    fixed: dict[Axis, Axis | int] = {}
    for old in expr.index:
        new = axes.get(old, old)
        if isinstance(new, int) or new in index:
            fixed[fresh := fresh_axis(old)] = new
            new = fresh
        index.append(new)
    return select(replace(expr, index=tuple(index)), fixed)


def _own_axes(expr: Roll | Window | Fold | Solve) -> tuple[Axis, ...]:
    match expr:
        case Roll(_, axis) | Fold(_, axis):
            return (axis,)
        case Window(_, axis, tap):
            return (axis, tap)
        case Solve(_, _, _, col):
            return (col,)


def select(expr: Expr, places: Mapping[Axis, Axis | int]) -> Expr:
    """Fix positions of a result that cannot be selected inside: as a sum with one nonzero term."""
    for axis, place in places.items():
        bound = fresh_axis(axis)
        inside = substitute(expr, {axis: bound})
        test = Binary("eq", Arange(bound), Arange(place) if isinstance(place, Axis) else Const(place))
        expr = Reduce("sum", Where(test, inside, Const(0)), (bound,), span=expr.span)
    return expr


def canonical(expr: Expr) -> Expr:
    """Rename bound axes by their order of appearance, so that equal meanings are equal nodes."""
    counter = count()

    def walk(node: Expr, names: dict[Axis, Axis]) -> Expr:
        match node:
            case Ref(_, index):
                return replace(node, index=tuple(names.get(i, i) if isinstance(i, Axis) else i for i in index))
            case Arange(axis):
                return replace(node, axis=names.get(axis, axis))
            case Reduce(_, x, over):
                inner = {**names, **{axis: Axis(axis.size, f"i{next(counter)}") for axis in over}}
                return replace(node, x=walk(x, inner), over=tuple(inner[axis] for axis in over))
            case Roll(x, axis):
                return replace(node, x=walk(x, names), axis=names.get(axis, axis))
            case Window(x, axis, tap):
                return replace(node, x=walk(x, names), axis=names.get(axis, axis), tap=names.get(tap, tap))
            case Fold(x, axis, tap):
                inner = {**names, tap: Axis(tap.size, f"i{next(counter)}")}
                return replace(node, x=walk(x, inner), axis=names.get(axis, axis), tap=inner[tap])
            case Solve(matrix, rhs, row, col):
                inner = {**names, row: Axis(row.size, f"i{next(counter)}")}
                col = names.get(col, col)
                return replace(node, matrix=walk(matrix, inner), rhs=walk(rhs, inner), row=inner[row], col=col)
            case Fixpoint(start=start, given=given, index=index):
                closed = tuple(replace(let, expr=canonical(let.expr)) for let in given)
                places = tuple(names.get(axis, axis) for axis in index)
                return replace(node, start=canonical(start), given=closed, index=places)
            case _:
                return rebuild(node, tuple(walk(part, names) for part in children(node)))

    return walk(expr, {})


def define(name: str, expr: Expr, *, axes: tuple[Axis, ...] | None = None, temporary: bool = False) -> Let:
    """Name a value: its axes (by default all of the expression's, in order) become the name's own axes."""
    order = expr.axes if axes is None else axes
    own = _formal(order)
    return Let(name, own, canonical(substitute(expr, dict(zip(order, own, strict=True)))), temporary, span=expr.span)


def _formal(order: tuple[Axis, ...]) -> tuple[Axis, ...]:
    sizes = [axis.size for axis in order]
    return tuple(Axis(size, sizes[:place].count(size)) for place, size in enumerate(sizes))


def inline(expr: Expr, lets: dict[str, Let]) -> Expr:
    """Put the definitions of the given names in place of the names."""

    def rule(node: Expr) -> Expr:
        if not (isinstance(node, Ref) and node.name in lets):
            return node
        let = lets[node.name]
        fresh = freshen(let.expr)
        return substitute(fresh, dict(zip(let.axes, node.index, strict=True)))

    return rewrite(expr, rule)


def freshen(expr: Expr) -> Expr:
    """Rename all bound axes to fresh ones."""

    def walk(node: Expr) -> Expr:
        node = rebuild(node, tuple(walk(part) for part in children(node)))
        renamed: dict[Axis, Axis | int] = {axis: fresh_axis(axis) for axis in bound_axes(node)}
        if not renamed:
            return node
        parts = tuple(substitute(part, renamed) for part in children(node))
        match node:
            case Reduce():
                return replace(node, x=parts[0], over=tuple(renamed[axis] for axis in node.over))  # type: ignore[arg-type]
            case Fold():
                return replace(node, x=parts[0], tap=renamed[node.tap])  # type: ignore[arg-type]
            case Solve():
                return replace(node, matrix=parts[0], rhs=parts[1], row=renamed[node.row])  # type: ignore[arg-type]
            case _:
                return node

    return walk(expr)


def map_exprs(recurrence: Recurrence, rule: Callable[[Expr], Expr]) -> Recurrence:
    """The recurrence with `rule` applied to every definition, update, output and total."""

    def output(item: Output) -> Output:
        return replace(item, expr=rule(item.expr))

    return replace(
        recurrence,
        lets=tuple(replace(let, expr=rule(let.expr)) for let in recurrence.lets),
        updates=tuple(rule(update) for update in recurrence.updates),
        outputs=tuple(output(item) for item in recurrence.outputs),
        totals=tuple(output(item) for item in recurrence.totals),
    )
