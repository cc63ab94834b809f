"""`structure_of` names the structure of a proved component's transition, stage by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from recc.ir.nodes import Axis, Expr, Recurrence, Var
from recc.passes.axes import AxisClass, axis_classes
from recc.passes.chain import stages
from recc.passes.flow import Factor, Flow, Path
from recc.passes.intervals import Intervals
from recc.passes.ranges import Range
from recc.passes.split import split
from recc.passes.terms import Expansion
from recc.structures.algebra import REAL, Algebra
from recc.structures.base import Structure
from recc.structures.dense import Dense
from recc.structures.diagonal import Diagonal
from recc.structures.form import Form, Layout, Term
from recc.structures.identity import Identity
from recc.structures.product import multiplied
from recc.structures.recognise import recognise
from recc.structures.scalar import Scalar


@dataclass(frozen=True)
class Found:
    """A structure, and the range of the coefficients that multiply each element in place; None if there are none."""

    structure: Structure
    coefficient: Range | None


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
        layouts = tuple(_layout(variables[name], classes[name]) for name in states)
        widest = max(layouts, key=lambda layout: len(layout.mixed))
        return Found(recognise(Form((), widest, algebra, None, layouts)), None)
    (var,) = (variables[name] for name in states)
    whole = _layout(var, classes[var.name])
    lets = {let.name: let for let in recurrence.lets}
    factors: list[Found] = []
    for stage in stages(recurrence, var.name):
        terms = Expansion({stage.source: var.axes}, recurrence.lets, algebra).of(stage.expr)
        if terms is None:
            return Found(_unresolved(whole), None)
        if algebra is REAL:
            terms = split(terms, lets)
        factors += _factors(var, stage.source, terms, algebra, intervals)
    structures = [factor.structure for factor in factors]
    if any(isinstance(structure, Dense) for structure in structures):
        return Found(Dense(whole), None)
    if all(isinstance(structure, (Scalar, Diagonal, Identity)) for structure in structures):
        structures = [_elementwise(whole, structures)]
    return Found(multiplied(whole, structures), _together(factors, algebra))


def _layout(var: Var, classes: tuple[AxisClass, ...]) -> Layout:
    def places(wanted: AxisClass) -> tuple[int, ...]:
        return tuple(place for place, found in enumerate(classes) if found == wanted)

    return Layout(var.sizes, places("scaled"), places("mixed"))


def _unresolved(whole: Layout) -> Structure:
    """What is known of a transition that is not written out: its layout."""
    if whole.mixed:
        return Dense(whole)
    return Diagonal(whole) if whole.scaled else Scalar(whole)


def _factors(var: Var, source: str, terms: tuple[Term, ...], algebra: Algebra, intervals: Intervals) -> list[Found]:
    """One stage's structure; a scalar that all its terms share comes first, apart."""
    shared, rest = _shared(var, terms)
    found = [_recognised(var, rest, algebra, intervals)]
    if shared:
        found.insert(0, _recognised(var, (Term(shared, source, var.axes),), algebra, intervals))
    return found


def _recognised(var: Var, terms: tuple[Term, ...], algebra: Algebra, intervals: Intervals) -> Found:
    layout = _layout(var, axis_classes({var.name: var}, {var.name: _flow(var, terms)})[var.name])
    form = Form(var.axes, layout, algebra, terms)
    coefficient = form.coefficient
    known = intervals.of(coefficient) if coefficient is not None and algebra.plus == "add" else None
    return Found(recognise(replace(form, non_negative=known is not None and known.non_negative)), known)


def _flow(var: Var, terms: tuple[Term, ...]) -> Flow:
    """The paths of written-out terms, as if they started from the state itself."""
    flow: dict[Path, Factor] = {}
    for term in terms:
        index = tuple(item if isinstance(item, Axis) and item not in term.bound else None for item in term.index)
        along = frozenset(axis for factor in term.factors for axis in factor.axes) - set(term.bound)
        path = Path(var.name, index)
        flow[path] = flow.get(path, Factor()) | Factor(along)
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


def _together(factors: list[Found], algebra: Algebra) -> Range | None:
    """The range of the product of what acts in place."""
    known = [found for found in factors if isinstance(found.structure, (Scalar, Diagonal))]
    if algebra.plus != "add" or not known:
        return None
    total = Range(1.0, 1.0)
    for found in known:
        assert found.coefficient is not None
        total = total * found.coefficient
    return total
