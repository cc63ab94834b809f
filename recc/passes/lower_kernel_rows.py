"""Several sequences walked side by side, where a step multiplies what it carries by matrices of params.

A matrix that one sequence multiplies a vector by is read from far away for every element's one multiplication. With an
axis for the rows of a block, outside of all others, these become products of matrices, and so do the gradients of the
matrices: outer products, which are summed over the rows and steps of a tile at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from recc.ir.build import mul, neg
from recc.ir.kernel import ROWS, Outer
from recc.ir.nodes import Axis, Binary, Expr, Let, Output, Recurrence, Reduce, Ref, Size, Unary, Var
from recc.ir.traverse import define, inline, map_exprs, names, rewrite
from recc.passes.tidy import Namer, drop_unused, flatten, share, used_names

ROW_AXIS = Axis(ROWS)
MOST_TERMS = 4
Term = tuple[bool, tuple[Expr, ...]]  # whether it is subtracted, and its factors


@dataclass(frozen=True)
class Block:
    """A recurrence with an axis for rows: which definitions are products with a matrix, which gradients are sums of
    outer products, which names are the same for all rows, and which are read by what is no definition."""

    recurrence: Recurrence
    products: frozenset[str]
    outers: tuple[Outer, ...]
    fixed: frozenset[str]
    read: frozenset[str] = frozenset()


def walks_blocks(recurrence: Recurrence, ranks: dict[Size, int]) -> bool:
    """Whether a step (one operation a definition) does more work on matrices of params than on its states."""
    recurrence = _split_sums(recurrence, ranks)
    found = _products(recurrence, constants(recurrence), ranks)
    largest = max((len(matrix.index) for _, matrix, _ in found.values()), default=0)
    carried = {state.name for state in recurrence.states}
    for let in recurrence.lets:
        carried |= {let.name} if names(let.expr) & carried else set()
    reads = any(vector.name in carried for vector, _, _ in found.values())
    return reads and all(len(state.var.sizes) < largest for state in recurrence.states)


def block_of_rows(recurrence: Recurrence, ranks: dict[Size, int], stored: set[str], splits: set[str]) -> Block:
    """A recurrence, one operation a definition, with an axis for rows.

    `stored` are inputs whose rows lie one after the other; totals in `splits` are never taken as outer products."""
    outputs, recurrence = recurrence.outputs, _split_sums(recurrence, ranks)
    recurrence, pairs = _outer_totals(recurrence, splits)
    recurrence = drop_unused(share(flatten(recurrence)))
    recurrence, products = _with_products(recurrence, ranks, stored)
    recurrence, factors = _stored_factors(recurrence, len(outputs))
    outers = tuple(Outer(total, factors[x], factors[y]) for total, x, y in pairs)
    fixed = constants(recurrence)
    wide = {item.name for item in (*recurrence.variables, *recurrence.lets)} - fixed  # one value a row
    return Block(with_axis(recurrence, ROW_AXIS, wide), products, outers, fixed)


def constants(recurrence: Recurrence, *, numbers: bool = True) -> frozenset[str]:
    """Params and definitions that depend on them alone, or, with `numbers`, on nothing."""
    fixed = {var.name for var in recurrence.params}
    for let in recurrence.lets:
        read = names(let.expr)
        if read <= fixed and (read or numbers):
            fixed.add(let.name)
    return frozenset(fixed)


# --- products with matrices ---


def _products(
    recurrence: Recurrence, fixed: frozenset[str], ranks: dict[Size, int]
) -> dict[str, tuple[Ref, Ref, Axis]]:
    """Definitions `y[a, j] = sum over k of x[a, k] * W[a, k, j]`, with `W` in either order and any number of axes `a`:
    the vector, the matrix and what is summed over."""
    made = {let.name: let for let in recurrence.lets}
    turned = {var.name for var in _carried(recurrence) if not _lies_in_order(var, ranks)}
    found: dict[str, tuple[Ref, Ref, Axis]] = {}
    for let in recurrence.lets:
        if not (isinstance(let.expr, Reduce) and let.expr.op == "sum" and let.kind == "real" and let.axes):
            continue
        product = _opened(let.expr.x, made)
        if len(let.expr.over) != 1 or not (isinstance(product, Binary) and product.op == "mul"):
            continue
        for vector, matrix in ((product.x, product.y), (product.y, product.x)):
            if isinstance(vector, Ref) and isinstance(matrix, Ref) and matrix.name in fixed:
                fits = vector.name not in fixed | turned and _multiplies(let, vector, matrix, let.expr.over[0])
                if fits:
                    found[let.name] = vector, matrix, let.expr.over[0]
    return found


def _split_sums(recurrence: Recurrence, ranks: dict[Size, int]) -> Recurrence:
    """Sums of differences as differences of sums where these are products with matrices: the parts of a complex one."""
    namer = Namer(used_names(recurrence))
    made = {let.name: let for let in recurrence.lets}
    lets: list[Let] = []
    for let in recurrence.lets:
        inner = _opened(let.expr.x, made) if isinstance(let.expr, Reduce) and let.expr.op == "sum" else None
        if isinstance(let.expr, Reduce) and isinstance(inner, Binary) and inner.op in ("add", "sub"):
            parts = [
                Let(namer(let.name), let.axes, replace(let.expr, x=part), temporary=True, span=let.span)
                for part in (inner.x, inner.y)
            ]
            split = replace(recurrence, lets=(*lets, *parts))
            if len(_products(split, constants(split), ranks).keys() & {part.name for part in parts}) == 2:
                lets += parts
                let = replace(let, expr=Binary(inner.op, parts[0].ref(), parts[1].ref()))
        lets.append(let)
    return replace(recurrence, lets=tuple(lets))


def _carried(recurrence: Recurrence) -> list[Var]:
    return [*(state.var for state in recurrence.states), *recurrence.inputs]


def _lies_in_order(var: Var, ranks: dict[Size, int]) -> bool:
    placed = [ranks.get(size, len(ranks)) for size in var.sizes]
    return placed == sorted(placed) or len(set(var.sizes)) < len(var.sizes)


def _opened(expr: Expr, made: dict[str, Let]) -> Expr:
    if isinstance(expr, Ref) and expr.name in made and isinstance(made[expr.name].expr, Binary):
        return inline(expr, {expr.name: made[expr.name]})
    return expr


def _multiplies(let: Let, vector: Ref, matrix: Ref, k: Axis) -> bool:
    *shared, j = let.axes
    if vector.index not in ((*shared, k), (k,)) or j in shared:
        return False
    return matrix.index in ((*shared, k, j), (*shared, j, k))


def _with_products(
    recurrence: Recurrence, ranks: dict[Size, int], stored: set[str]
) -> tuple[Recurrence, frozenset[str]]:
    """Products as sums of `vector * matrix` at once; inputs that they read are copied, as their rows lie apart."""
    found = _products(recurrence, constants(recurrence), ranks)
    namer = Namer(used_names(recurrence))
    apart = {var.name: var for var in recurrence.inputs if var.name not in stored}
    copies: dict[str, Let] = {}
    lets: list[Let] = []
    for let in recurrence.lets:
        if let.name in found:
            vector, matrix, k = found[let.name]
            if vector.name in apart and vector.name not in copies:
                var = apart[vector.name]
                copies[vector.name] = Let(namer(f"{var.name}_rows"), var.axes, var.ref(), temporary=True)
                lets.append(copies[vector.name])
            if vector.name in copies:
                vector = replace(vector, name=copies[vector.name].name)
            let = replace(let, expr=Reduce("sum", Binary("mul", vector, matrix), (k,)))
        lets.append(let)
    return drop_unused(replace(recurrence, lets=tuple(lets))), frozenset(found)


# --- sums of outer products ---


def _outer_totals(recurrence: Recurrence, splits: set[str]) -> tuple[Recurrence, list[tuple[str, str, str]]]:
    """Totals over matrices that are sums of outer products: their names and those of their factors, which become
    outputs for as long as definitions are moved about."""
    namer = Namer(used_names(recurrence))
    made = {let.name: let for let in recurrence.lets}
    found: list[tuple[str, str, str]] = []
    factors: list[Output] = []
    totals: list[Output] = []
    for item in recurrence.totals:
        pairs = None if item.name in splits else _outer_pairs(item, made)
        if pairs is None:
            totals.append(item)
            continue
        for pair in pairs:
            own = [_factor(namer("factor"), *part) for part in pair]
            factors += own
            found.append((item.name, own[0].name, own[1].name))
    outputs = (*recurrence.outputs, *factors)
    return replace(recurrence, outputs=outputs, totals=tuple(totals)), found


def _factor(name: str, expr: Expr, axes: tuple[Axis, ...]) -> Output:
    let = define(name, expr, axes=axes)
    return Output(Var(name, tuple(axis.size for axis in axes)), let.expr)


def _stored_factors(recurrence: Recurrence, outputs: int) -> tuple[Recurrence, dict[str, str]]:
    """The definitions that hold factors, made where there are none, and no longer the outputs beyond the first."""
    made = {let.name: let for let in recurrence.lets}
    lets: dict[str, Let] = {}
    names_of: dict[str, str] = {}
    for item in recurrence.outputs[outputs:]:
        let = made.get(item.expr.name) if isinstance(item.expr, Ref) else None
        if let is None or let.axes != item.expr.axes or let.axes != item.var.axes:
            let = next((own for own in lets.values() if own.expr == item.expr and own.axes == item.var.axes), None)
            let = let or Let(item.name, item.var.axes, item.expr, temporary=True)
            lets[let.name] = let
        names_of[item.name] = let.name
    kept = replace(recurrence, lets=(*recurrence.lets, *lets.values()), outputs=recurrence.outputs[:outputs])
    return kept, names_of


Factor = tuple[Expr, tuple[Axis, ...]]


def _outer_pairs(item: Output, made: dict[str, Let]) -> list[tuple[Factor, Factor]] | None:
    """The pairs `x[a, k]`, `y[a, j]` whose products add up to a total over the axes `a, k, j`."""
    if len(item.var.sizes) < 2:
        return None
    *shared, k, j = item.var.axes
    terms = _terms(item.expr, {k, j}, made)
    if terms is None or len(terms) > MOST_TERMS:
        return None
    pairs: list[tuple[Factor, Factor]] = []
    for negative, factors in terms:
        left = [factor for factor in factors if j not in factor.axes]
        right = [factor for factor in factors if j in factor.axes]
        x, y = (reduce(mul, part) if part else None for part in (left, right))
        if x is None or y is None or k in y.axes or k not in x.axes:
            return None
        axes = [tuple(a for a in shared if a in part.axes) for part in (x, y)]
        if any(own and own != tuple(shared) for own in axes):
            return None
        pairs.append(((neg(x) if negative else x, (*axes[0], k)), (y, (*axes[1], j))))
    return pairs


def _terms(expr: Expr, both: set[Axis], made: dict[str, Let]) -> list[Term] | None:
    """An expression as a sum of products none of whose factors has both axes of a matrix; None if it is none."""
    if not both <= set(expr.axes):
        return [(False, (expr,))]
    match expr:
        case Ref(name) if name in made:
            return _terms(inline(expr, {name: made[name]}), both, made)
        case Unary("neg", x):
            inner = _terms(x, both, made)
            return None if inner is None else [(not negative, factors) for negative, factors in inner]
        case Binary("add" | "sub" as op, x, y) if both <= set(x.axes) & set(y.axes):
            first, second = _terms(x, both, made), _terms(y, both, made)
            if first is None or second is None:
                return None
            return first + [(negative != (op == "sub"), factors) for negative, factors in second]
        case Binary("mul", x, y):
            first, second = _terms(x, both, made), _terms(y, both, made)
            if first is None or second is None or len(first) * len(second) > MOST_TERMS:
                return None
            return [(a != b, left + right) for a, left in first for b, right in second]
    return None


# --- the axis for rows ---


def with_axis(recurrence: Recurrence, axis: Axis, wide: set[str], *, last: bool = False) -> Recurrence:
    """A recurrence in which variables and definitions that are `wide`, and all results, have one more axis, the first
    or the `last`."""

    def joined(items: tuple[Any, ...], more: Any) -> tuple[Any, ...]:
        return (*items, more) if last else (more, *items)

    def rule(node: Expr) -> Expr:
        if isinstance(node, Ref) and node.name in wide:
            return replace(node, index=joined(node.index, axis))
        return node

    def widened(var: Var) -> Var:
        return replace(var, sizes=joined(var.sizes, axis.size))

    def own(var: Var) -> Var:
        return widened(var) if var.name in wide else var

    def each(items: tuple[Output, ...]) -> tuple[Output, ...]:
        return tuple(replace(item, var=widened(item.var)) for item in items)

    moved = map_exprs(recurrence, lambda expr: rewrite(expr, rule))
    lets = (replace(let, axes=joined(let.axes, axis)) if let.name in wide else let for let in moved.lets)
    return replace(
        moved,
        inputs=tuple(map(own, moved.inputs)),
        params=tuple(map(own, moved.params)),
        states=tuple(replace(state, var=own(state.var)) for state in moved.states),
        lets=tuple(lets),
        outputs=each(moved.outputs),
        totals=each(moved.totals),
    )
