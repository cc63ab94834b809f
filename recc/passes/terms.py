"""`expand` writes an update as a sum of terms: exogenous factors times a state, in index notation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from recc.ir.build import ONE, ZERO, is_const
from recc.ir.nodes import Axis, Binary, Const, Expr, Let, Reduce, Ref, SizeOf, Unary, Where
from recc.ir.traverse import fresh_axis, names, substitute
from recc.passes.positions import at_position
from recc.structures.algebra import Algebra
from recc.structures.form import Term, product

MOST_TERMS = 64


class _NotTerms(Exception):
    """The terms are not worth writing out, or cannot be: neighbourhoods and solves are not index notation."""


class Expansion:
    """Expands expressions that are known to be affine in the sources, through the definitions in between."""

    def __init__(self, sources: dict[str, tuple[Axis, ...]], lets: Iterable[Let], algebra: Algebra) -> None:
        self.algebra = algebra
        self._sources = sources
        self._axes = dict(sources)
        self._lets: dict[str, Let] = {}
        self._known: dict[str, tuple[Term, ...] | None] = {}
        for let in lets:
            if let.name not in sources and self._reads(let.expr):
                self._axes[let.name] = let.axes
                self._lets[let.name] = let
                self._known[let.name] = self.of(let.expr)

    def of(self, expr: Expr) -> tuple[Term, ...] | None:
        """The terms of an expression; none if it is exogenous, None if they are too many or not index notation."""
        try:
            return self._sum(expr)
        except _NotTerms:
            return None

    def _reads(self, expr: Expr) -> bool:
        return not names(expr).isdisjoint(self._axes.keys())

    def _sum(self, expr: Expr) -> tuple[Term, ...]:
        if not self._reads(expr):
            return ()
        terms = tuple(self._terms(expr))
        if len(terms) > MOST_TERMS:
            raise _NotTerms
        return terms

    def _terms(self, expr: Expr) -> Iterator[Term]:
        match expr:
            case Ref():
                yield from self._ref(expr)
            case Where(test, _, y):
                yield from self._choice(test, self._sum(at_position(expr, self._axes)), self._sum(y))
            case Unary(op, x):
                yield from self._unary(op, x)
            case Binary(op, x, y):
                yield from self._binary(op, x, y)
            case Reduce(_, x, over):
                yield from (self._reduced(term, over) for term in self._sum(x))
            case _:
                raise _NotTerms

    def _ref(self, ref: Ref) -> Iterator[Term]:
        if ref.name in self._sources:
            yield Term((), ref.name, ref.index)
        else:
            terms = self._known[ref.name]
            if terms is None:
                raise _NotTerms
            places = dict(zip(self._lets[ref.name].axes, ref.index, strict=True))
            yield from (_placed(term, places) for term in terms)

    def _unary(self, op: str, x: Expr) -> Iterator[Term]:
        for term in self._sum(x):
            if op == "neg":
                yield _times(term, Const(-1))
            elif op in ("real", "imag", "conj"):
                yield Term((Unary(op, product(term.factors, self.algebra)),), term.source, term.index, term.bound)
            else:
                yield term

    def _binary(self, op: str, x: Expr, y: Expr) -> Iterator[Term]:
        first, second, algebra = self._sum(x), self._sum(y), self.algebra
        if op == algebra.plus:
            yield from first + second
        elif op == "sub" and algebra.plus == "add":
            yield from first
            yield from (_times(term, Const(-1)) for term in second)
        elif op == algebra.times:
            yield from (_times(term, *_factors(y, algebra)) for term in first)
            yield from (_times(term, *_factors(x, algebra)) for term in second)
        elif op == algebra.over:
            inverse = Binary("div", ONE, y) if op == "div" else Unary("neg", y)
            yield from (_times(term, inverse) for term in first)
        else:
            yield from first or second

    def _reduced(self, term: Term, over: tuple[Axis, ...]) -> Term:
        """The term summed over axes, which are renamed: another sum may use the same names."""
        used = {axis for factor in term.factors for axis in factor.axes} | set(term.index)
        unused = [axis.size for axis in over if axis not in used]
        sizes = [Const(size) if isinstance(size, int) else SizeOf(size) for size in unused]
        if self.algebra.reduce == "sum":
            term = _times(term, *sizes)
        elif self.algebra.reduce == "logsumexp":
            term = _times(term, *(Unary("log", size) for size in sizes))
        fresh: dict[Axis, Axis | int] = {axis: fresh_axis(axis) for axis in over if axis in used}
        bound = tuple(axis for axis in fresh.values() if isinstance(axis, Axis))
        placed = _placed(term, fresh)
        return replace(placed, bound=placed.bound + bound)

    def _choice(self, test: Expr, first: tuple[Term, ...], second: tuple[Term, ...]) -> Iterator[Term]:
        """One term where both sides have the same one, but for the factors; else a factor that is zero or one."""
        one: Expr = ONE if self.algebra.times == "mul" else ZERO
        zero = Const(self.algebra.zero)
        rest = list(second)
        for term in first:
            twin = next((other for other in rest if _alike(term, other)), None)
            value = product(term.factors, self.algebra)
            if twin is not None:
                rest.remove(twin)
                other = product(twin.factors, self.algebra)
                choice = value if value == other else Where(test, value, other)
                yield Term(_factors(choice, self.algebra), term.source, term.index)
            else:
                yield _times(term, Where(test, one, zero))
        yield from (_times(term, Where(test, zero, one)) for term in rest)


def _factors(expr: Expr, algebra: Algebra) -> tuple[Expr, ...]:
    """The factors of an exogenous product, apart; neutral ones left out."""
    if isinstance(expr, Binary) and expr.op == algebra.times:
        return _factors(expr.x, algebra) + _factors(expr.y, algebra)
    return () if is_const(expr, algebra.one) else (expr,)


def _times(term: Term, *factors: Expr) -> Term:
    return replace(term, factors=term.factors + factors)


def _alike(term: Term, other: Term) -> bool:
    return not term.bound and not other.bound and (term.source, term.index) == (other.source, other.index)


def _placed(term: Term, places: dict[Axis, Axis | int]) -> Term:
    """The term with other axes, or fixed positions, in place of free ones; its bound axes are renamed."""
    fresh: dict[Axis, Axis | int] = {axis: fresh_axis(axis) for axis in term.bound}
    every = {**places, **fresh}
    factors = tuple(substitute(factor, every) for factor in term.factors)
    index = tuple(every.get(item, item) if isinstance(item, Axis) else item for item in term.index)
    bound = tuple(axis for axis in fresh.values() if isinstance(axis, Axis))
    return Term(factors, term.source, index, bound)
