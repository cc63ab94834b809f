"""`analyse` proves, component by component, how a recurrence can be solved in parallel, or says what prevents it."""

from __future__ import annotations

from dataclasses import dataclass

from recc.ir.nodes import Expr, Recurrence, Size
from recc.ir.traverse import names
from recc.passes.axes import AxisClass, axis_classes
from recc.passes.degree import Degree, Refused, time_varying
from recc.passes.flow import Flow
from recc.passes.fractional import Fraction, NotFractional, fractional_form
from recc.passes.intervals import Intervals
from recc.passes.ranges import Range
from recc.passes.stratify import stratify
from recc.passes.structure import structure_of
from recc.structures.algebra import LINEAR_FRACTIONAL, REAL, SEMIRINGS
from recc.structures.base import Structure
from recc.structures.block import Block
from recc.structures.constant import Constant
from recc.structures.diagonal import Diagonal
from recc.structures.form import Layout
from recc.structures.identity import Identity
from recc.structures.scalar import Scalar

SEQUENTIAL_HINT = "`--method sequential` accepts it"


@dataclass(frozen=True)
class Proof:
    """A component's update is linear in its carried states, in `algebra`, with a transition of a known structure.

    `axes` says for every axis of every state whether the transition is the same along it ("batched"), differs along it
    ("scaled") or crosses it ("mixed"); `invariant`, whether the transition is the same at every step; `coefficient`,
    the range of what multiplies every element in place; `fraction`, the 2x2 matrix of a linear-fractional update."""

    algebra: str
    structure: Structure
    axes: dict[str, tuple[AxisClass, ...]]
    invariant: bool
    complex: bool = False
    coefficient: Range | None = None
    fraction: Fraction | None = None

    @property
    def in_place(self) -> bool:
        """Whether every element is multiplied by a factor where it stands."""
        return isinstance(self.structure, (Scalar, Diagonal)) and self.algebra == REAL.name

    @property
    def log_space(self) -> bool:
        """Whether the transition may be kept as a cumulative logarithm: it acts in place and is provably positive."""
        known = self.coefficient is not None and self.coefficient.positive
        return self.in_place and known and not self.complex

    @property
    def text(self) -> str:
        """One line, e.g. "time-invariant diagonal decay over D, in (0, 1)"."""
        changing = not isinstance(self.structure, (Identity, Constant))
        prefix = "" if self.algebra == REAL.name else f"{self.algebra} "
        lasting = "time-invariant " if self.invariant and changing else ""
        facts = ", complex" if self.complex else ""
        if self.coefficient is not None and not self.complex and self.coefficient.low >= 0:
            decay = "" if isinstance(self.structure, (Scalar, Diagonal)) else "decay "
            facts = f", {decay}{self.coefficient.text}"
        return f"{prefix}{lasting}{self.structure.text}{facts}"

    @property
    def facts(self) -> tuple[str, ...]:
        """Sentences for an explanation: axes, closure and cost of composing steps, and whether logarithms will do."""
        return (*self._axes_facts(), self._composition_fact(), *self._factor_facts())

    def _axes_facts(self) -> list[str]:
        meaning = {"batched": "is the same along", "scaled": "differs along", "mixed": "crosses"}
        sizes = self.structure.layout.sizes
        if len(self.axes) > 1 or not sizes:
            return []
        (classes,) = self.axes.values()
        found = [f"{verb} {_listed(sizes, classes, kind)}" for kind, verb in meaning.items() if kind in classes]
        return [f"the transition {', '.join(found)}"]

    def _composition_fact(self) -> str:
        cost = f"one more step costs {self.structure.composition} operations"
        if self.structure.closed:
            return f"products of steps have the same structure; {cost}"
        return f"products of steps do not keep the structure; {cost}"

    def _factor_facts(self) -> list[str]:
        if not self.in_place:
            return []
        known = self.coefficient.text if self.coefficient is not None else "may be negative"
        what = "is complex" if self.complex else known if known.startswith("may") else f"is {known}"
        return [f"the factor {what}, so it {'may' if self.log_space else 'may not'} be kept as a logarithm"]


def _listed(sizes: tuple[Size, ...], classes: tuple[AxisClass, ...], wanted: str) -> str:
    return ", ".join(str(size) for size, found in zip(sizes, classes, strict=True) if found == wanted)


@dataclass(frozen=True)
class Refusal:
    """No algebra was found in which `state` has a linear update; `culprit` is the smallest expression at fault."""

    culprit: Expr
    reason: str
    state: str
    algebra: str
    hint: str = SEQUENTIAL_HINT


@dataclass(frozen=True)
class Component:
    """States that depend on each other, and what was found out about them."""

    states: tuple[str, ...]
    verdict: Proof | Refusal


@dataclass(frozen=True)
class Analysis:
    """The components of a recurrence by level: a component depends on itself and on earlier levels alone."""

    levels: tuple[tuple[Component, ...], ...]

    @property
    def components(self) -> tuple[Component, ...]:
        return tuple(component for level in self.levels for component in level)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return tuple(item.verdict for item in self.components if isinstance(item.verdict, Refusal))


def analyse(recurrence: Recurrence) -> Analysis:
    """Stratify a recurrence and find, for every component, the algebra and the structure of its transition.

    `h = a * h + x` is proved in (+,x) with the axis D of `h` "scaled"; `h = tanh(h)` is refused at `tanh(h)`."""
    varying = time_varying(recurrence)
    intervals = Intervals(recurrence)

    def component(states: tuple[str, ...]) -> Component:
        return Component(states, _verdict(recurrence, states, varying, intervals))

    return Analysis(tuple(tuple(component(states) for states in level) for level in stratify(recurrence)))


def _verdict(
    recurrence: Recurrence, states: tuple[str, ...], varying: frozenset[str], intervals: Intervals
) -> Proof | Refusal:
    """(+,x) first, then the semirings, then fractions; of the refusals the one of the algebra that got furthest."""
    refusals: list[tuple[int, Refusal]] = []
    for algebra in (REAL, *SEMIRINGS):
        degree = Degree(recurrence, states, algebra)
        found = _flows(recurrence, states, degree)
        if not isinstance(found, Refusal):
            return _linear(recurrence, states, degree, found, intervals)
        refusals.append((-degree.accepted, found))
    if len(states) == 1:
        proof = _fractional(recurrence, states[0], varying)
        if proof is not None:
            return proof
    return min(refusals, key=lambda item: item[0])[1]


def _flows(recurrence: Recurrence, states: tuple[str, ...], degree: Degree) -> dict[str, Flow] | Refusal:
    flows: dict[str, Flow] = {}
    for state in states:
        try:
            flows[state] = degree.of(recurrence.update_of(state))
        except Refused as refused:
            return Refusal(refused.culprit, refused.reason, state, degree.algebra.name)
    return flows


def _linear(
    recurrence: Recurrence, states: tuple[str, ...], degree: Degree, flows: dict[str, Flow], intervals: Intervals
) -> Proof:
    axes = axis_classes({name: degree.carried[name] for name in states}, flows)
    found = structure_of(recurrence, states, degree.algebra, axes, intervals)
    invariant = all(factor.fixed for flow in flows.values() for factor in flow.values())
    complex_ = any(degree.carried[name].complex for name in states)
    return Proof(degree.algebra.name, found.structure, axes, invariant, complex_, found.coefficient)


def _fractional(recurrence: Recurrence, state: str, varying: frozenset[str]) -> Proof | None:
    try:
        form = fractional_form(recurrence, state)
    except NotFractional:
        return None
    var = next(item.var for item in recurrence.states if item.name == state)
    along = {axis for part in form.parts for axis in part.axes}
    classes: tuple[AxisClass, ...] = tuple("scaled" if axis in along else "batched" for axis in var.axes)
    layout = Layout(var.sizes, tuple(place for place, found in enumerate(classes) if found == "scaled"))
    invariant = not any(names(part) & varying for part in form.parts)
    return Proof(LINEAR_FRACTIONAL, Block(layout), {state: classes}, invariant, var.complex, fraction=form)
