"""The stages of a Riccati recursion, read from an update with every operation under a name; see `riccati`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from recc.ir.build import ZERO, add, is_const, spread, total
from recc.ir.nodes import Axis, Expr, Recurrence, Ref, Where
from recc.ir.traverse import inline, names, rewrite, substitute
from recc.passes.chain import Stage
from recc.passes.intervals import Intervals
from recc.passes.monomials import Monomial, Monomials, NotPolynomial
from recc.passes.powers import Powers, powers
from recc.passes.semidefinite import Semidefinite, not_negative
from recc.passes.split import split
from recc.passes.two_sided import anonymous, groups, two_sided
from recc.structures.form import Term

NO_DOWNDATE = "it is not `P - P u u' P / (r + u' P u)` for one vector `u`"


@dataclass(frozen=True)
class Affine:
    """`P -> scale * W P W' + Q`: the terms of `W`, which act along the rows; none of them if `P` is forgotten."""

    source: str
    weights: tuple[Term, ...]
    scale: Expr


@dataclass(frozen=True)
class Downdate:
    """`P -> scale * (P - gain * P u u' P / (r + gain * u' P u)) + Q`: `u` over `along`, `r` as `rest`, and the
    denominator as `below`."""

    source: str
    vector: Expr
    along: Axis
    gain: Expr
    rest: Expr
    below: Expr
    scale: Expr


@dataclass(frozen=True)
class Choice:
    """One of two stages with the same source, by a condition that does not depend on it."""

    test: Expr
    first: Affine | Downdate | Choice
    second: Affine | Downdate | Choice


Step = Affine | Downdate | Choice


class NotRiccati(Exception):
    """An update that is not of this kind: the smallest culprit, and the reason if it comes close."""

    def __init__(self, culprit: Expr, reason: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.culprit = culprit
        self.reason = reason
        self.hint = hint


class Reader:
    """Reads the stages of one state's update, with every operation under a name."""

    def __init__(self, flat: Recurrence, axes: tuple[Axis, ...], pair: tuple[Axis, Axis], proved: bool) -> None:
        self._axes = axes
        self._proved = proved
        self.rational = False  # whether a stage has a square over a value of the matrix itself
        self._row, self._column = self._pair = pair
        self._lets = {let.name: let for let in flat.lets}
        self._intervals = Intervals(flat)
        self._semidefinite = Semidefinite(self._lets, self._intervals, *pair)

    def through(self, passed: tuple[Stage, ...]) -> tuple[tuple[Step, ...], list[NotRiccati]]:
        """The stages, where one that is of neither kind is put together with those behind it: `F @ P` with `@ F.T`.
        There are refusals if this does not work out."""
        steps: list[Step] = []
        refusals: list[NotRiccati] = []
        waiting = ""
        for stage in passed:
            source = waiting or stage.source
            try:
                steps.append(self._read(source, stage.expr, Monomials(source, self._lets.values())))
                waiting = ""
            except NotRiccati as refused:
                refusals.append(refused)
                waiting = source
        return tuple(steps), refusals if waiting else []

    def _read(self, source: str, expr: Expr, monomials: Monomials) -> Step:
        while isinstance(expr, Ref) and expr.name in self._lets and expr.name != source:
            expr = inline(expr, {expr.name: self._lets[expr.name]})
        if isinstance(expr, Where) and not monomials.reads(expr.test) and not set(self._pair) & set(expr.test.axes):
            return Choice(expr.test, *(self._branch(source, expr, holds) for holds in (True, False)))
        try:
            return self._stage(source, monomials.of(expr), monomials, expr)
        except NotPolynomial as found:
            raise NotRiccati(found.culprit) from None

    def _branch(self, source: str, choice: Where, holds: bool) -> Step:
        """One side of a choice, where other choices by the same condition are made as well."""

        def rule(node: Expr) -> Expr:
            made = isinstance(node, Where) and node.test == choice.test
            return spread(node.x if holds else node.y, node.axes) if made else node  # type: ignore[union-attr]

        lets = (replace(let, expr=rewrite(let.expr, rule)) for let in self._lets.values())
        return self._read(source, choice.x if holds else choice.y, Monomials(source, lets))

    def _stage(self, source: str, found: tuple[Monomial, ...], monomials: Monomials, expr: Expr) -> Step:
        kinds = [(len(item.places), len(item.below)) for item in found]
        if any(kind not in ((0, 0), (1, 0), (2, 1)) for kind in kinds) or kinds.count((2, 1)) > 1:
            self.rational |= any(degree == 2 and below for degree, below in kinds)
            raise NotRiccati(expr, NO_DOWNDATE)
        linear = [item for item, (degree, _) in zip(found, kinds, strict=True) if degree == 1]
        squared = next((item for item, (degree, _) in zip(found, kinds, strict=True) if degree == 2), None)
        self.rational |= squared is not None
        for item in (item for item in found if not item.places):
            if not (self._proved or self._semidefinite.of(item.factors)):
                raise NotRiccati(
                    expr,
                    "what is added to it is not known to be positive semidefinite",
                    "`G @ G.T`, `outer(g, g)` and `q * eye(D)` with `q >= 0` are",
                )
        if squared is None:
            return self._affine(source, linear, expr)
        return self._downdate(source, linear, squared, monomials, expr)

    def _terms(self, source: str, linear: Sequence[Monomial]) -> tuple[Term, ...]:
        return split(tuple(Term(item.factors, source, item.places[0], item.bound) for item in linear), self._lets)

    def _affine(self, source: str, linear: Sequence[Monomial], expr: Expr) -> Affine:
        if not linear:
            return Affine(source, (), Powers().value)
        found = two_sided(self._terms(source, linear), self._axes, self._pair, self._lets)
        if found is None or found.square is None:
            raise NotRiccati(expr, "it is not of the form `W @ P @ W.T`")
        return Affine(source, _turned(found.right, self._axes, self._pair), self._not_negative(found.square, expr))

    def _not_negative(self, product: Powers, expr: Expr) -> Expr:
        if not (self._proved or not_negative(product, self._intervals)):
            raise NotRiccati(expr, "a factor of it may be negative")
        return product.value

    def _downdate(
        self, source: str, linear: Sequence[Monomial], squared: Monomial, monomials: Monomials, expr: Expr
    ) -> Downdate:
        """`g (P - a P u u' P / (r + a u' P u))`: the vectors of the square and of the denominator have to be equal, and
        the coefficients must fit."""
        (below,) = squared.below
        scale = self._kept(self._terms(source, linear), expr)
        coefficient, vector, along, form = self._square(squared, expr)
        gain, inner, rest = self._denominator(below, monomials)
        if inner != form or not (scale * gain * Powers(-1)).agrees(coefficient):
            raise NotRiccati(expr, NO_DOWNDATE)
        parts = [total(powers(item.factors, {}).value, item.bound) for item in rest]
        if not (self._proved or self._positive(parts)):
            raise NotRiccati(below, "what the denominator adds is not known to be positive", "declare it `> 0`")
        return Downdate(
            source,
            vector,
            along,
            self._not_negative(gain, below),
            reduce(add, parts, ZERO),
            below,
            self._not_negative(scale, expr),
        )

    def _kept(self, terms: tuple[Term, ...], expr: Expr) -> Powers:
        """The coefficient of the matrix itself."""
        match terms:
            case (term,) if term.index == self._axes and not term.bound:
                product = powers(term.factors, self._lets)
                if not any(axis in part.axes for part in product.exprs for axis in self._pair):
                    return product
        raise NotRiccati(expr)

    def _square(self, squared: Monomial, expr: Expr) -> tuple[Powers, Expr, Axis, Powers]:
        """The coefficient, the vector, and what is the same for equal vectors, of `c P u u' P`."""
        for first, second in (squared.places, squared.places[::-1]):
            (row, inner), (other, column) = (self._at(place, expr) for place in (first, second))
            if row == self._row and column == self._column:
                return self._vectors(squared, inner, other, expr)
            if row == self._row and other == self._column:
                raise NotRiccati(
                    expr,
                    "`P u u' P'` is linear-fractional in a symmetric `P` alone, and a state that is given need not be",
                    "write `outer(K, u @ P)` for `outer(K, P @ u)`",
                )
        raise NotRiccati(expr)

    def _at(self, place: tuple[Axis | int, ...], expr: Expr) -> tuple[Axis, Axis]:
        found = dict(zip(self._axes, place, strict=True))
        passed = all(other == axis for axis, other in found.items() if axis not in self._pair)
        row, column = (found[axis] for axis in self._pair)
        if not passed or not isinstance(row, Axis) or not isinstance(column, Axis):
            raise NotRiccati(expr)
        return row, column

    def _vectors(self, item: Monomial, first: Axis, second: Axis, expr: Expr) -> tuple[Powers, Expr, Axis, Powers]:
        product = powers(item.factors, self._lets)
        local = {*self._pair, *item.bound}
        left, right, *rest = groups(product, local, ((first, first), (second, second)))
        if left == right or any(set(group) - set(self._pair) for group in rest) or {first, second} & set(self._pair):
            raise NotRiccati(expr)
        vectors = [product.where(lambda part, group=group: not group.isdisjoint(part.axes)) for group in (left, right)]
        forms = [
            anonymous(vector, {axis: "along"}, tuple(group))
            for vector, axis, group in zip(vectors, (first, second), (left, right), strict=True)
        ]
        coefficient = product / vectors[0] / vectors[1]
        if forms[0] != forms[1] or any(axis in part.axes for part in coefficient.exprs for axis in self._pair):
            raise NotRiccati(expr, NO_DOWNDATE)
        return coefficient, total(vectors[0].value, tuple(sorted(left - {first}, key=str))), first, forms[0]

    def _denominator(self, below: Expr, monomials: Monomials) -> tuple[Powers, Powers, tuple[Monomial, ...]]:
        """`a`, what is the same for equal vectors `u`, and the terms of `r`, of `r + a u' P u`."""
        try:
            found = monomials.of(self._unguarded(below) if self._proved else below)
        except NotPolynomial as refused:
            raise NotRiccati(refused.culprit) from None
        linear = [item for item in found if item.places]
        rest = tuple(item for item in found if not item.places)
        if len(linear) != 1 or len(linear[0].places) != 1 or linear[0].below or set(below.axes) & set(self._pair):
            raise NotRiccati(below)
        row, column = self._at(linear[0].places[0], below)
        gain, _, _, form = self._vectors(linear[0], row, column, below)
        return gain, form, rest

    def _unguarded(self, below: Expr) -> Expr:
        opened = below
        while isinstance(opened, Ref) and opened.name in self._lets:
            opened = inline(opened, {opened.name: self._lets[opened.name]})
        return self._unguarded(opened.x) if isinstance(opened, Where) and is_const(opened.y, 1) else below

    def _positive(self, parts: list[Expr]) -> bool:
        ranges = [self._intervals.of(part) for part in parts]
        return all(known.non_negative for known in ranges) and any(known.positive for known in ranges)


def _turned(terms: tuple[Term, ...], axes: tuple[Axis, ...], pair: tuple[Axis, Axis]) -> tuple[Term, ...]:
    """Terms that act along the columns, acting along the rows."""
    row, column = pair
    swapped: dict[Axis, Axis | int] = {row: column, column: row}
    turned: list[Term] = []
    for term in terms:
        places = dict(zip(axes, term.index, strict=True))
        places[row], places[column] = places[column], places[row]
        index = tuple(swapped.get(item, item) if isinstance(item, Axis) else item for item in places.values())
        turned.append(Term(tuple(substitute(f, swapped) for f in term.factors), term.source, index, term.bound))
    return tuple(turned)


def reads(step: Step) -> frozenset[str]:
    """The names that a stage's coefficients read."""
    match step:
        case Choice(test, first, second):
            return names(test) | reads(first) | reads(second)
        case Downdate(_, vector, _, gain, rest, _, scale):
            return names(vector) | names(gain) | names(rest) | names(scale)
        case Affine(_, weights, scale):
            return names(scale).union(*(names(factor) for term in weights for factor in term.factors))
