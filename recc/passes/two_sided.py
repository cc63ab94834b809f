"""`two_sided` finds the stages `X -> L X R` among those that cross two axes of a state.

Written out, `(I - u v') X (I - w z')` is four terms. Each is a product of what acts along the rows, what acts along
the columns, and a coefficient; the stage is two-sided if every pair of sides occurs and the coefficients, as a matrix
between the sides, have rank one. They are compared as products of powers; nothing is cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import networkx as nx

from recc.ir.build import ONE, ZERO, add, is_const, mul, refold, spread, total
from recc.ir.nodes import Axis, Expr, Let, Ref, Where
from recc.ir.traverse import canonical, inline, rewrite, substitute
from recc.passes.powers import Powers, powers
from recc.structures.form import Term


@dataclass(frozen=True)
class Side:
    """What a term does along one axis: the sum over `bound` of the product times the source at `at` (in place of the
    axis). `form` is the same for equal sides, on the left or on the right."""

    product: Powers
    at: Axis
    bound: tuple[Axis, ...]
    form: tuple[bool, Powers]


@dataclass(frozen=True)
class TwoSided:
    """Terms that act along the rows, and terms that act along the columns: their composition, in either order, is the
    stage. `square` is the factor `s` with `left = s * right`, as forms, if there is one: the stage is `s * W X W'`."""

    left: tuple[Term, ...]
    right: tuple[Term, ...]
    square: Powers | None


def two_sided(
    terms: Sequence[Term], axes: tuple[Axis, ...], pair: tuple[Axis, Axis], lets: Mapping[str, Let]
) -> TwoSided | None:
    """The sides of a stage with these terms, over a state's axes of which `pair` are the rows and the columns; None if
    its terms are not the product of two sides, whichever way conditions in them come out."""
    return _unconditional(terms, axes, pair, lets) or _by_condition(terms, axes, pair, lets)


def _by_condition(
    terms: Sequence[Term], axes: tuple[Axis, ...], pair: tuple[Axis, Axis], lets: Mapping[str, Let]
) -> TwoSided | None:
    """The sides of a choice between two stages, by the first condition that a factor has."""
    conditions = (
        choice.test
        for term in terms
        for choice in (_choice(factor, lets) for factor in powers(term.factors, lets).exprs)
        if choice is not None and set(choice.test.axes).isdisjoint({*pair, *term.bound})
    )
    test = next(conditions, None)
    if test is None:
        return None
    left: list[Term] = []
    right: list[Term] = []
    for holds in (True, False):
        mask = Where(test, *((ONE, ZERO) if holds else (ZERO, ONE)))
        assumed = (_assumed(term, test, holds, lets) for term in terms)
        branch = [term for term in assumed if not any(is_const(factor, 0) for factor in term.factors)]
        found = two_sided(branch, axes, pair, lets) if branch else TwoSided((), (), None)
        if found is None:
            return None
        left += (replace(term, factors=(mask, *term.factors)) for term in found.left)
        right += (replace(term, factors=(mask, *term.factors)) for term in found.right)
    return TwoSided(tuple(left), tuple(right), None)


def _choice(factor: Expr, lets: Mapping[str, Let]) -> Where | None:
    """The choice that a factor is, or is the name of."""
    while isinstance(factor, Ref) and factor.name in lets:
        factor = inline(factor, {factor.name: lets[factor.name]})
    return factor if isinstance(factor, Where) else None


def _assumed(term: Term, test: Expr, holds: bool, lets: Mapping[str, Let]) -> Term:
    """A term with the choices in its factors made as the condition says."""

    def made(node: Expr) -> Expr:
        known = isinstance(node, Where) and node.test == test
        return spread(node.x if holds else node.y, node.axes) if known else refold(node)  # type: ignore[union-attr]

    product = powers(term.factors, lets)
    factors: list[Expr] = [Powers(product.number).value]
    for factor in product.exprs:
        count = dict(product.exponents)[factor]
        side = rewrite(_choice(factor, lets) or factor, made)
        factors.append(Powers(1, frozenset({(side, count)})).value if not is_const(side, 0) else ZERO)
    return replace(term, factors=tuple(factors))


def _unconditional(
    terms: Sequence[Term], axes: tuple[Axis, ...], pair: tuple[Axis, Axis], lets: Mapping[str, Let]
) -> TwoSided | None:
    """The sides of a stage whose coefficients are taken as they are."""
    found: dict[tuple[tuple[bool, Powers], tuple[bool, Powers]], Powers] = {}
    lefts: dict[tuple[bool, Powers], Side] = {}
    rights: dict[tuple[bool, Powers], Side] = {}
    for term in terms:
        parts = _parts(term, axes, pair, lets)
        if parts is None:
            return None
        coefficient, left, right = parts
        lefts.setdefault(left.form, left)
        rights.setdefault(right.form, right)
        merged = _sum(found.get((left.form, right.form)), coefficient)
        if merged is None:
            return None
        found[left.form, right.form] = merged
    grid = [[found.get((row, column)) for column in rights] for row in lefts]
    weights = _rank_one(grid)
    if weights is None:
        return None
    source = terms[0].source
    rows, columns = (dict(zip(forms, w, strict=True)) for forms, w in zip((lefts, rights), weights, strict=True))
    return TwoSided(
        tuple(_term(lefts[form], weight, source, axes, pair[0]) for form, weight in rows.items()),
        tuple(_term(rights[form], weight, source, axes, pair[1]) for form, weight in columns.items()),
        _square(rows, columns),
    )


def applied(terms: Iterable[Term], value: Ref, places: Sequence[Axis]) -> Expr:
    """Terms over the axes `places` applied to a value that stands for their source, at those axes."""
    at = dict(zip(places, value.index, strict=True))
    result: Expr = ZERO
    for term in terms:
        index = tuple(at.get(item, item) if isinstance(item, Axis) else item for item in term.index)
        factors = (substitute(factor, dict(at)) for factor in term.factors)
        result = add(result, total(reduce(mul, (*factors, replace(value, index=index))), term.bound))
    return result


def _parts(
    term: Term, axes: tuple[Axis, ...], pair: tuple[Axis, Axis], lets: Mapping[str, Let]
) -> tuple[Powers, Side, Side] | None:
    """The coefficient and the sides of one term."""
    index = dict(zip(axes, term.index, strict=True))
    if any(found != axis for axis, found in index.items() if axis not in pair):
        return None
    (row, column), (first, second) = pair, (index[pair[0]], index[pair[1]])
    if not isinstance(first, Axis) or not isinstance(second, Axis):
        return None
    product = powers(term.factors, lets)
    left, right, *rest = groups(product, {row, column, *term.bound}, ((row, first), (column, second)))
    if left == right:
        return None
    sides = [_side(product, group, axis, at) for group, axis, at in ((left, row, first), (right, column, second))]
    inner = left | right
    coefficient = product.where(lambda expr: inner.isdisjoint(expr.axes)) * Powers(product.number)
    for group in rest:
        coefficient = _summed(coefficient, group)
    return coefficient, sides[0], sides[1]


def groups(product: Powers, local: set[Axis], pairs: Iterable[tuple[Axis, Axis]]) -> list[frozenset[Axis]]:
    """The local axes that the factors of a product join: first the groups of the pairs, each of which belongs
    together, then the rest."""
    graph: nx.Graph = nx.Graph()
    graph.add_nodes_from(local)
    for expr in product.exprs:
        nx.add_path(graph, [axis for axis in expr.axes if axis in local])
    pairs = tuple(pairs)
    graph.add_edges_from(pairs)
    wanted = [frozenset(nx.node_connected_component(graph, axis)) for axis, _ in pairs]
    rest = [frozenset(group) for group in nx.connected_components(graph)]
    return wanted + [group for group in rest if group not in wanted]


def _summed(coefficient: Powers, group: frozenset[Axis]) -> Powers:
    """A coefficient with the factors that have axes of a group summed over them, as one expression."""
    inside = coefficient.where(lambda expr: not group.isdisjoint(expr.axes))
    over = tuple(sorted(group, key=lambda axis: str(axis.tag)))
    number = Powers(coefficient.number)
    return (
        number * coefficient.where(lambda expr: group.isdisjoint(expr.axes)) * powers([total(inside.value, over)], {})
    )


def _side(product: Powers, group: frozenset[Axis], axis: Axis, at: Axis) -> Side:
    own = product.where(lambda expr: not group.isdisjoint(expr.axes))
    bound = tuple(sorted(group - {axis}, key=lambda other: str(other.tag)))
    return Side(own, at, bound, (axis == at, anonymous(own, {axis: "out", at: "out" if at == axis else "in"}, bound)))


def anonymous(product: Powers, named: Mapping[Axis, str], bound: tuple[Axis, ...]) -> Powers:
    """A product with other tags for its axes: those that are named, and numbers for the other bound ones, by the order
    in which the factors, sorted without them, have them."""
    others = [axis for axis in bound if axis not in named]
    tags: dict[Axis, Axis | int] = {axis: Axis(axis.size, f"!{tag}") for axis, tag in named.items()}
    hidden = {**tags, **{axis: Axis(axis.size, "!?") for axis in others}}
    ordered = sorted(product.exprs, key=lambda expr: repr(canonical(substitute(expr, hidden))))
    for axis in dict.fromkeys(axis for expr in ordered for axis in expr.axes if axis in others):
        tags[axis] = Axis(axis.size, f"!{len(tags)}")
    return product.mapped(lambda expr: canonical(substitute(expr, tags)))


def _sum(first: Powers | None, second: Powers) -> Powers | None:
    """The sum of two coefficients that differ in a number alone, None of others."""
    if first is None:
        return second
    number = first.number + second.number
    return replace(first, number=number) if first.exponents == second.exponents and number != 0 else None


def _rank_one(grid: list[list[Powers | None]]) -> tuple[list[Powers], list[Powers]] | None:
    """Weights of rows and columns whose products are the entries. No factor is divided by that is not divided by in the
    entries themselves."""
    rows = [[entry for entry in row if entry is not None] for row in grid]
    if any(len(row) < len(rights) for row, rights in zip(rows, grid, strict=True)):
        return None
    across = [_spared(entry, rows[0]) for entry in rows[0]]
    down = [row[0] / across[0] for row in rows]
    pairs = [(a * b, entry) for a, row in zip(down, rows, strict=True) for b, entry in zip(across, row, strict=True)]
    return (down, across) if all(found.agrees(entry) for found, entry in pairs) else None


def _spared(entry: Powers, row: list[Powers]) -> Powers:
    """An entry relative to the first of a row, less of every factor that the whole row shares."""
    counts = [dict(other.exponents) for other in row]
    shared: list[tuple[Expr, int]] = []
    for expr in {expr for count in counts for expr in count}:
        found = [count.get(expr, 0) for count in counts]
        shared.append((expr, max(found) if max(found) <= 0 else min(found)))
    return entry / Powers.collected(row[0].number, shared)


def _square(rows: dict[tuple[bool, Powers], Powers], columns: dict[tuple[bool, Powers], Powers]) -> Powers | None:
    if rows.keys() != columns.keys():
        return None
    ratios = {rows[form] / columns[form] for form in rows}
    return ratios.pop() if len(ratios) == 1 else None


def _term(side: Side, weight: Powers, source: str, axes: tuple[Axis, ...], axis: Axis) -> Term:
    index = tuple(side.at if other == axis else other for other in axes)
    factors = (weight.value, *side.product.factors) if weight != Powers() else side.product.factors
    return Term(factors, source, index, side.bound)
