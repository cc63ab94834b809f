"""`analyse` proves, component by component, how a recurrence can be solved in parallel, or says what prevents it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from recc.ir.nodes import Recurrence, Size
from recc.ir.traverse import names
from recc.passes.axes import AxisClass, axis_classes
from recc.passes.conditions import conditions
from recc.passes.degree import Degree, Refused, time_varying
from recc.passes.dependence import jacobian_of
from recc.passes.drivers import Drivers
from recc.passes.flow import Flow
from recc.passes.fractional import NotFractional, fractional_form
from recc.passes.given import given, held
from recc.passes.intervals import Intervals
from recc.passes.order_axes import order_axes
from recc.passes.riccati import dense_factors, downdates, riccati_form
from recc.passes.riccati_steps import NotRiccati
from recc.passes.smoothness import CONSTANT, Smoothness
from recc.passes.source import Source
from recc.passes.stratify import reads, stratify
from recc.passes.structure import structure_of
from recc.passes.verdicts import Analysis, Component, Feed, Given, Part, Proof, Rank, Refusal
from recc.structures.algebra import LINEAR_FRACTIONAL, REAL, SEMIRINGS, Algebra
from recc.structures.base import Structure
from recc.structures.block import Block
from recc.structures.constant import Constant
from recc.structures.form import Layout
from recc.structures.matrix_fraction import MatrixFraction

__all__ = ["Analysis", "Component", "Proof", "Refusal", "analyse"]


def analyse(recurrence: Recurrence) -> Analysis:
    """Stratify a recurrence and find, for every component, the algebra and the structure of its transition.

    `h = a * h + x` is proved in (+,x) with the axis D of `h` "scaled"; `h = tanh(h)` is refused at `tanh(h)`."""
    return _Analyser(recurrence).analysis()


class _Analyser:
    def __init__(self, recurrence: Recurrence) -> None:
        self.recurrence = recurrence
        self.varying = time_varying(recurrence)
        self.aligned = order_axes(recurrence, _ranks(recurrence))
        self.intervals = Intervals(self.aligned)
        self.drivers = Drivers(recurrence)
        self.reads = reads(recurrence)
        self.variables = {state.name: state.var for state in recurrence.states}

    def analysis(self, among: tuple[str, ...] | None = None) -> Analysis:
        """The components, or only those of some states."""
        levels = (
            tuple(self._component(states) for states in level if among is None or set(states) <= set(among))
            for level in stratify(self.recurrence)
        )
        return Analysis(tuple(level for level in levels if level))

    def _component(self, states: tuple[str, ...]) -> Component:
        verdict = self._verdict(states)
        rest = self._given(states, verdict)
        if isinstance(verdict, Refusal) and rest is not None and rest.held and rest.proved:
            known = " and ".join(f"`{name}`" for name in rest.known)
            verdict = replace(verdict, reason=f"{verdict.reason}; as long as {known} stand still the update is linear")
        return Component(states, verdict, self._feeds(states, verdict), rest)

    def _verdict(self, states: tuple[str, ...]) -> Proof | Refusal:
        """(+,x) first, then the semirings, then fractions; of the refusals that of the algebra that got furthest."""
        refusals: list[tuple[int, Refusal]] = []
        for algebra in (REAL, *SEMIRINGS):
            degree = Degree(self.recurrence, states, algebra)
            found = self._flows(states, degree)
            if not isinstance(found, Refusal):
                return self._linear(states, degree, found)
            refusals.append((-degree.accepted, found))
        furthest = min(refusals, key=lambda item: item[0])[1]
        match states:
            case (state,):
                return self._fractional(state) or self._riccati(state, furthest)
            case _:
                return self._described(states, furthest)

    def _flows(self, states: tuple[str, ...], degree: Degree) -> dict[str, Flow] | Refusal:
        flows: dict[str, Flow] = {}
        for state in states:
            try:
                flows[state] = degree.of(self.recurrence.update_of(state))
            except Refused as refused:
                return Refusal(refused.culprit, refused.reason, state, degree.algebra.name)
        return flows

    def _described(self, states: tuple[str, ...], refusal: Refusal) -> Refusal:
        smoothness = Smoothness(self.recurrence, states)
        kind = CONSTANT
        for state in states:
            kind = kind | smoothness.of(self.recurrence.update_of(state))
        return replace(refusal, kind=kind, jacobian=jacobian_of(self.recurrence, states))

    def _linear(self, states: tuple[str, ...], degree: Degree, flows: dict[str, Flow]) -> Proof:
        axes = axis_classes({name: degree.carried[name] for name in states}, flows)
        found = structure_of(self.aligned, states, degree.algebra, axes, self.intervals)
        used = frozenset().union(*(factor.reads for flow in flows.values() for factor in flow.values()))
        source = Source(self.recurrence, states, degree.algebra)
        homogeneous = all(source.vanishes(self.recurrence.update_of(name)) for name in states)
        return Proof(
            algebra=degree.algebra.name,
            structure=found.structure,
            axes=axes,
            invariant=not used & self.varying,
            complex=any(degree.carried[name].complex for name in states),
            coefficient=found.coefficient,
            driver=self.drivers.of(used),
            states=self._ordered(self.drivers.states_behind(used)),
            parts=tuple(self._part(factor.structure, factor.reads) for factor in found.factors),
            eigenvalue=found.eigenvalue,
            homogeneous=homogeneous and not isinstance(found.structure, Constant),
            sources=self._sources(states, axes, source, degree.algebra) if not homogeneous else (),
            conditions=conditions(self.recurrence, states[0], self.drivers) if len(states) == 1 else (),
        )

    def _part(self, structure: Structure, used: frozenset[str]) -> Part:
        return Part(structure, self.drivers.of(used), self._ordered(self.drivers.states_behind(used)))

    def _ordered(self, found: frozenset[str]) -> tuple[str, ...]:
        return tuple(name for name in self.recurrence.state_names if name in found)

    def _sources(
        self, states: tuple[str, ...], axes: dict[str, tuple[AxisClass, ...]], source: Source, algebra: Algebra
    ) -> tuple[Rank, ...]:
        """For every state of two axes or more, the least rank of its source between a batched axis and others."""
        if algebra is not REAL:
            return ()
        found = (self._least_rank(name, axes[name], source) for name in states if len(axes[name]) > 1)
        return tuple(rank for rank in found if rank is not None)

    def _least_rank(self, name: str, classes: tuple[AxisClass, ...], source: Source) -> Rank | None:
        """Over the ways to take one batched axis as columns and, where others are left, scaled ones as given."""
        update, own = self.recurrence.update_of(name), self.variables[name].axes
        places = range(len(own))
        batched = [place for place in places if classes[place] == "batched"]
        scaled = [place for place in places if classes[place] == "scaled"]
        apart = [tuple(scaled)] if "mixed" in classes else [(), *((place,) for place in scaled)]
        best: Rank | None = None
        for column, fixed in product(reversed(batched), apart):
            rows = tuple(place for place in places if place != column and place not in fixed)
            if not rows:
                continue
            rank = source.rank(update, frozenset(own[place] for place in rows), frozenset({own[column]}))
            if rank is not None and (best is None or rank.order < best.rank.order):
                best = Rank(name, rows, column, rank)
        return best

    def _fractional(self, state: str) -> Proof | None:
        try:
            form = fractional_form(self.recurrence, state)
        except NotFractional:
            return None
        var = self.variables[state]
        along = {axis for part in form.parts for axis in part.axes}
        classes: tuple[AxisClass, ...] = tuple("scaled" if axis in along else "batched" for axis in var.axes)
        layout = Layout(var.sizes, tuple(place for place, found in enumerate(classes) if found == "scaled"))
        used = frozenset().union(*map(names, form.parts))
        return Proof(
            algebra=LINEAR_FRACTIONAL,
            structure=Block(layout),
            axes={state: classes},
            invariant=not used & self.varying,
            complex=var.complex,
            fraction=form,
            driver=self.drivers.of(used),
            states=self._ordered(self.drivers.states_behind(used)),
        )

    def _riccati(self, state: str, refusal: Refusal) -> Proof | Refusal:
        """A matrix that follows a Riccati recursion; else the refusal, with a better reason if it nearly does."""
        try:
            form = riccati_form(self.recurrence, state)
        except NotRiccati as found:
            if found.reason:
                hint = found.hint or refusal.hint
                refusal = replace(refusal, culprit=found.culprit, reason=found.reason, hint=hint)
            return self._described((state,), refusal)
        var = self.variables[state]
        pair = (form.row, form.column)
        classes: tuple[AxisClass, ...] = tuple("mixed" if axis in pair else "scaled" for axis in var.axes)
        places = {kind: tuple(p for p, found in enumerate(classes) if found == kind) for kind in ("scaled", "mixed")}
        layout = Layout(var.sizes, places["scaled"], places["mixed"])
        return Proof(
            algebra=LINEAR_FRACTIONAL,
            structure=MatrixFraction(layout, downdates(form), dense_factors(form)),
            axes={state: classes},
            invariant=not form.reads & self.varying,
            riccati=form,
            driver=self.drivers.of(form.reads),
            states=self._ordered(self.drivers.states_behind(form.reads)),
        )

    def _feeds(self, states: tuple[str, ...], verdict: Proof | Refusal) -> tuple[Feed, ...]:
        earlier = self._ordered(frozenset().union(*(self.reads[name] for name in states)) - set(states))
        real = isinstance(verdict, Proof) and verdict.algebra == REAL.name
        autonomous = self.drivers.autonomous
        return tuple(Feed(name, real and self._jointly_linear(states, name), name in autonomous) for name in earlier)

    def _jointly_linear(self, states: tuple[str, ...], earlier: str) -> bool:
        degree = Degree(self.recurrence, (*states, earlier))
        return not isinstance(self._flows(states, degree), Refusal)

    def _given(self, states: tuple[str, ...], verdict: Proof | Refusal) -> Given | None:
        """What is left when the held states are known; of nonlinear states, what is linear given all the others."""
        waiting = held(self.recurrence, states, self.drivers) if len(states) > 1 else ()
        if waiting:
            others = tuple(name for name in states if name not in waiting)
            rest = _Analyser(given(self.recurrence, waiting)).analysis(others)
            return Given(waiting, rest.components, held=True)
        if isinstance(verdict, Proof) or len(states) < 2:
            return None
        alone = [component for name in states for component in self._alone(name, states)]
        proved = tuple(component for component in alone if isinstance(component.verdict, Proof))
        return Given((), proved, held=False) if proved else None

    def _alone(self, name: str, states: tuple[str, ...]) -> tuple[Component, ...]:
        others = tuple(other for other in states if other != name)
        return _Analyser(given(self.recurrence, others)).analysis((name,)).components


def _ranks(recurrence: Recurrence) -> dict[Size, int]:
    """The sizes in the order in which the states have them."""
    sizes = dict.fromkeys(size for state in recurrence.states for size in state.var.sizes)
    return {size: rank for rank, size in enumerate(sizes)}
