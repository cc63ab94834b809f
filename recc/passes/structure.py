"""`structure_of` names the structure of a proved component's transition, stage by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from recc.ir.nodes import Axis, Expr, Recurrence, Var
from recc.ir.traverse import names
from recc.passes.axes import AxisClass, axis_classes
from recc.passes.chain import Stage, stages
from recc.passes.degree import time_varying
from recc.passes.flow import Factor as Coefficient
from recc.passes.flow import Flow, Path
from recc.passes.intervals import Intervals
from recc.passes.ranges import Range
from recc.passes.split import split
from recc.passes.terms import Expansion
from recc.passes.two_sided import two_sided
from recc.structures.algebra import REAL, Algebra
from recc.structures.base import Structure
from recc.structures.dense import Dense
from recc.structures.diagonal import Diagonal
from recc.structures.form import Form, Layout, Term
from recc.structures.identity import Identity
from recc.structures.identity_low_rank import IdentityLowRank, eigenvalue_of
from recc.structures.product import multiplied
from recc.structures.recognise import recognise
from recc.structures.scalar import Scalar


@dataclass(frozen=True)
class Factor:
    """One factor of a transition: a structure, and the names that its values are computed from."""

    structure: Structure
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """A structure with its factors in the order in which they are applied.

    `coefficient` is the range of what multiplies each element in place, None if nothing does; `eigenvalue` that of the
    eigenvalues which the low-rank factors have apart from one, None if they are not known."""

    structure: Structure
    factors: tuple[Factor, ...] = ()
    coefficient: Range | None = None
    eigenvalue: Range | None = None


def structure_of(
    recurrence: Recurrence,
    states: tuple[str, ...],
    algebra: Algebra,
    classes: Mapping[str, tuple[AxisClass, ...]],
    intervals: Intervals,
) -> Found:
    """The structure of a component's transition; a single state's is the product of its stages.

    `S_1 = exp(g) * S; S = S_1 + beta * outer(k, v - k @ S_1)` is a scalar times (identity + rank 1)."""
    variables = {state.name: state.var for state in recurrence.states}
    if len(states) > 1:
        return _coupled(recurrence, states, algebra, classes)
    (var,) = (variables[name] for name in states)
    whole = _layout(var, classes[var.name])
    reader = _Reader(recurrence, var, algebra, intervals)
    found = reader.through(stages(recurrence, var.name))
    if found is None or any(_is_dense(item.structure, whole) for item in found):
        found = reader.through((Stage(var.name, recurrence.update_of(var.name)),))
    if found is None:
        return Found(_unresolved(whole))
    structures = [item.structure for item in found]
    if any(_is_dense(structure, whole) for structure in structures):
        return Found(Dense(whole))
    if all(isinstance(structure, (Scalar, Diagonal, Identity)) for structure in structures):
        structures = [_elementwise(whole, structures)]
    factors = tuple(factor for item in found for factor in item.factors if not isinstance(factor.structure, Identity))
    return Found(multiplied(whole, structures), factors, _together(found, algebra), _eigenvalues(found))


def _is_dense(structure: Structure, whole: Layout) -> bool:
    """Whether a factor says no more than that the axes are crossed; one of fewer axes does."""
    return isinstance(structure, Dense) and not set(structure.layout.mixed) < set(whole.mixed)


def _coupled(
    recurrence: Recurrence, states: tuple[str, ...], algebra: Algebra, classes: Mapping[str, tuple[AxisClass, ...]]
) -> Found:
    """The structure of several states together."""
    variables = {state.name: state.var for state in recurrence.states}
    layouts = tuple(_layout(variables[name], classes[name]) for name in states)
    widest = max(layouts, key=lambda layout: len(layout.mixed))
    lets = {let.name: let for let in recurrence.lets}
    expansion = Expansion({name: variables[name].axes for name in states}, recurrence.lets, algebra)
    coupled: list[tuple[str, tuple[Term, ...]]] = []
    for name in states:
        terms = expansion.of(recurrence.update_of(name))
        if terms is not None:
            coupled.append((name, split(terms, lets) if algebra is REAL else terms))
    known = tuple(coupled) if len(coupled) == len(states) else ()
    return Found(recognise(Form(variables[states[0]].axes, widest, algebra, None, layouts, coupled=known)))


def _layout(var: Var, classes: tuple[AxisClass, ...]) -> Layout:
    def places(wanted: AxisClass) -> tuple[int, ...]:
        return tuple(place for place, found in enumerate(classes) if found == wanted)

    return Layout(var.sizes, places("scaled"), places("mixed"))


def _unresolved(whole: Layout) -> Structure:
    """What is known of a transition that is not written out: its layout."""
    if whole.mixed:
        return Dense(whole)
    return Diagonal(whole) if whole.scaled else Scalar(whole)


class _Reader:
    """Reads the stages of one state's update."""

    def __init__(self, recurrence: Recurrence, var: Var, algebra: Algebra, intervals: Intervals) -> None:
        self._recurrence = recurrence
        self._var = var
        self._algebra = algebra
        self._intervals = intervals
        self._lets = {let.name: let for let in recurrence.lets}
        self._varying = time_varying(recurrence)

    def through(self, passed: tuple[Stage, ...]) -> list[Found] | None:
        """The factors of all stages, None where one of them cannot be written out."""
        found: list[Found] = []
        for stage in passed:
            terms = Expansion({stage.source: self._var.axes}, self._recurrence.lets, self._algebra).of(stage.expr)
            if terms is None:
                return None
            found += self._factors(stage.source, split(terms, self._lets) if self._algebra is REAL else terms)
        return found

    def _factors(self, source: str, terms: tuple[Term, ...]) -> list[Found]:
        """One stage's structure; a scalar that all its terms share comes first, apart."""
        shared, rest = _shared(self._var, terms)
        found = [self._recognised(side) for side in self._sides(rest)]
        if shared:
            found.insert(0, self._recognised((Term(shared, source, self._var.axes),)))
        return found

    def _sides(self, terms: tuple[Term, ...]) -> tuple[tuple[Term, ...], ...]:
        """The terms that act along one axis and those that act along another, where these together are the stage."""
        var = self._var
        (classes,) = axis_classes({var.name: var}, {var.name: flow_of(var, terms)}).values()
        pair = tuple(axis for axis, found in zip(var.axes, classes, strict=True) if found != "batched")
        if len(pair) != 2 or self._algebra is not REAL:
            return (terms,)
        found = two_sided(terms, var.axes, pair, self._lets)
        return (terms,) if found is None else (found.left, found.right)

    def _recognised(self, terms: tuple[Term, ...]) -> Found:
        var, real = self._var, self._algebra.plus == "add"
        layout = _layout(var, axis_classes({var.name: var}, {var.name: flow_of(var, terms)})[var.name])
        form = Form(var.axes, layout, self._algebra, terms, varying=self._varying)
        coefficient = form.coefficient
        known = self._intervals.of(coefficient) if coefficient is not None and real else None
        form = replace(form, non_negative=known is not None and known.non_negative)
        reads = frozenset().union(*(names(factor) for term in terms for factor in term.factors))
        factor = Factor(recognise(form), reads)
        apart = eigenvalue_of(form) if isinstance(factor.structure, IdentityLowRank) else None
        return Found(factor.structure, (factor,), known, None if apart is None else self._intervals.of(apart))


def flow_of(var: Var, terms: tuple[Term, ...]) -> Flow:
    """The paths of written-out terms, as if they started from the state itself."""
    flow: dict[Path, Coefficient] = {}
    for term in terms:
        index = tuple(item if isinstance(item, Axis) and item not in term.bound else None for item in term.index)
        along = frozenset(axis for factor in term.factors for axis in factor.axes) - set(term.bound)
        path = Path(var.name, index)
        flow[path] = flow.get(path, Coefficient()) | Coefficient(along)
    return flow


def _shared(var: Var, terms: tuple[Term, ...]) -> tuple[tuple[Expr, ...], tuple[Term, ...]]:
    """The factors without axes that all terms have, and the terms without them; only where some term crosses axes."""
    if not terms or all(term.index == var.axes and not term.bound for term in terms):
        return (), terms
    common = Counter(factor for factor in terms[0].factors if not factor.axes)
    for term in terms[1:]:
        common &= Counter(term.factors)
    return tuple(common.elements()), tuple(_without(term, common) for term in terms)


def _without(term: Term, common: Counter[Expr]) -> Term:
    left = Counter(common)
    kept: list[Expr] = []
    for factor in term.factors:
        if left[factor]:
            left[factor] -= 1
        else:
            kept.append(factor)
    return replace(term, factors=tuple(kept))


def _elementwise(whole: Layout, stages: list[Structure]) -> Structure:
    """The product of stages that all act in place."""
    moving = [stage for stage in stages if not isinstance(stage, Identity)]
    decay = all(isinstance(stage, (Scalar, Diagonal)) and stage.decay for stage in moving)
    if not moving:
        return stages[0]
    return Diagonal(whole, decay) if whole.scaled else Scalar(whole, decay)


def _together(found: list[Found], algebra: Algebra) -> Range | None:
    """The range of the product of what acts in place."""
    known = [item for item in found if isinstance(item.structure, (Scalar, Diagonal))]
    if algebra.plus != "add" or not known:
        return None
    total = Range(1.0, 1.0)
    for item in known:
        assert item.coefficient is not None
        total = total * item.coefficient
    return total


def _eigenvalues(found: list[Found]) -> Range | None:
    """Where the low-rank factors have eigenvalues other than one."""
    known = [item.eigenvalue for item in found if isinstance(item.structure, IdentityLowRank)]
    total: Range | None = None
    for item in known:
        if item is None:
            return None
        total = item if total is None else total.hull(item)
    return total
