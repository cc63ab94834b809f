"""From a schedule to convolutions: what a step keeps, as a fixed linear function of the states and prepared values.

Where every step is `s' = A s + B u + a`, `y = C s + D u + b` with coefficients made of params alone, what is kept of
all steps is a convolution of the prepared values with the response to an impulse, D, C B, C A B, C A A B, ...
(linear time-invariant systems: Kailath 1980; recurrences as convolutions: Gu et al. 2021, arXiv 2110.13985). The
coefficients are never formed here: the linear part of the step, run on unit vectors, gives them in a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import networkx as nx

from recc.diagnostics import NOWHERE
from recc.ir.build import ZERO, is_const
from recc.ir.nodes import (
    Axis,
    Binary,
    Expr,
    Fold,
    Let,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    Size,
    Solve,
    State,
    Unary,
    Var,
    Where,
    Window,
)
from recc.ir.printer import show_expr
from recc.ir.traverse import children, names, nodes, rewrite
from recc.passes.axes import AxisClass, axis_classes
from recc.passes.degree import Degree, Refused
from recc.passes.flow import Flow
from recc.passes.guard import guard
from recc.passes.schedule import Schedule, schedule
from recc.passes.tangent import linear_part
from recc.passes.tidy import Namer, used_names

Kind = Literal["zero", "identity", "diagonal", "dense"]


@dataclass(frozen=True)
class System:
    """States that are solved together, with what they are driven by and what is kept of them.

    `shared` are the axes along which every position is a system of its own; along those that are also in `same`, all
    are the same system. `kind` says what the transition does to the elements of all other axes."""

    inputs: tuple[Var, ...]
    states: tuple[Var, ...]
    kept: tuple[Var, ...]
    shared: tuple[Axis, ...]
    same: tuple[Axis, ...]
    kind: Kind


@dataclass(frozen=True)
class ConvolutionPlan:
    """The systems of a step; `lets` and `results` (states, then what is kept) are the step's linear part, in which the
    names of states and inputs stand for their own motion; `offset` tells whether the step adds a constant."""

    inputs: tuple[Var, ...]
    states: tuple[Var, ...]
    kept: tuple[Var, ...]
    lets: tuple[Let, ...]
    results: tuple[Expr, ...]
    systems: tuple[System, ...]
    offset: bool


@dataclass(frozen=True)
class NoConvolution:
    """The smallest expression that is not a fixed linear function of states and prepared values, and why."""

    culprit: Expr
    reason: str

    @property
    def text(self) -> str:
        """The culprit as the user wrote it."""
        span = self.culprit.span
        return f"`{span.text}`" if span.source is not NOWHERE.source else f"`{show_expr(self.culprit)}`"


def convolution_of(recurrence: Recurrence) -> ConvolutionPlan | NoConvolution:
    """How a user's recurrence is solved by convolutions, or what prevents it."""
    shapes = tuple(var.sizes for var in recurrence.inputs) + tuple(item.var.sizes for item in recurrence.outputs)
    return lower_convolution(schedule(guard(recurrence), shapes))


def lower_convolution(plan: Schedule) -> ConvolutionPlan | NoConvolution:
    """The convolutions of a schedule.

    `h = a * h + x` with a param `a` is one system for each position of D. In `S = g * S + outer(k, v)` with an input
    `g` the culprit is `g * S`; with a param `g` it is `outer(k, v)`, which is too large to prepare for all steps."""
    joint = _joint(plan)
    inputs, kept = joint.inputs, joint.kept
    states = tuple(state.var for state in plan.recurrence.states)
    choice = _varying_choice(plan, joint)
    if choice is not None:
        return NoConvolution(choice, "a choice that changes from step to step")
    degree = Degree(joint.recurrence, [var.name for var in states + inputs])
    try:
        flows = {var.name: degree.of(plan.recurrence.update_of(var.name)) for var in states}
        flows |= {_output(var).name: degree.of(var.ref()) for var in kept}
    except Refused as refused:
        return NoConvolution(refused.culprit, _reason(refused.culprit))
    moving = {var.name: var for var in states + inputs}
    wanted = (*plan.recurrence.updates, *(var.ref() for var in kept))
    lets, results = linear_part(joint.lets, wanted, moving, Namer(used_names(plan.recurrence)))
    parts = tuple(ZERO if part is None else part for part in results)
    systems = tuple(_systems(states, inputs, kept, flows))
    return ConvolutionPlan(inputs, states, kept, lets, parts, systems, _adds_constant(joint.lets, moving, wanted))


@dataclass(frozen=True)
class Joint:
    """A step with all that differs from step to step as states; `lets` are its definitions."""

    recurrence: Recurrence
    inputs: tuple[Var, ...]
    kept: tuple[Var, ...]

    @property
    def lets(self) -> tuple[Let, ...]:
        return self.recurrence.lets


def _joint(plan: Schedule) -> Joint:
    recurrence = plan.recurrence
    made = {let.name: _variable(let) for let in recurrence.lets}
    present = recurrence.inputs + tuple(made[let.name] for let in plan.prepare)
    lets = _opened(plan, present) + plan.step
    read = set().union(*(names(let.expr) for let in lets), *map(names, recurrence.updates))
    inputs = tuple(var for var in present if var.name in read - {let.name for let in lets})
    variables = {var.name: var for var in recurrence.variables} | made
    kept = tuple(variables[name] for name in plan.kept)
    return Joint(_with_states(plan, inputs, lets), inputs, kept)


def _opened(plan: Schedule, present: tuple[Var, ...]) -> tuple[Let, ...]:
    """Prepared values that are fixed linear functions of smaller ones: to respond to `u` is less than to `B * u`."""
    degree = Degree(_with_states(plan, present, ()), [var.name for var in present])
    sizes = {var.name: Counter(var.sizes) for var in present}
    wanted = set().union(*(names(let.expr) for let in plan.step), *map(names, plan.recurrence.updates))
    opened: list[Let] = []
    for let in reversed(plan.prepare):
        if let.name not in wanted:
            continue
        try:
            sources = {path.source for path in degree.of(let.expr)}
        except Refused:
            continue
        if sources and all(sizes[source] < sizes[let.name] for source in sources):
            opened.append(let)
            wanted |= names(let.expr)
    return tuple(reversed(opened))


def _varying_choice(plan: Schedule, joint: Joint) -> Expr | None:
    """The first operation that reads a prepared condition."""
    conditions = {let.name for let in plan.prepare if let.kind == "bool"}
    for expr in (*(let.expr for let in joint.lets), *plan.recurrence.updates):
        for node in nodes(expr):
            if any(isinstance(part, Ref) and part.name in conditions for part in children(node)):
                return node
    return None


def _with_states(plan: Schedule, inputs: tuple[Var, ...], lets: tuple[Let, ...]) -> Recurrence:
    recurrence = plan.recurrence
    return Recurrence(
        name=recurrence.name,
        params=recurrence.params + tuple(_variable(let) for let in plan.constants),
        states=recurrence.states + tuple(State(var, ZERO) for var in inputs),
        lets=lets,
        updates=recurrence.updates + (ZERO,) * len(inputs),
        sizes=recurrence.sizes,
    )


def _variable(let: Let) -> Var:
    sizes: tuple[Size, ...] = tuple(axis.size for axis in let.axes)
    return Var(let.name, sizes, let.kind == "complex")


def _output(var: Var) -> Var:
    """What is kept, told apart from a state of the same name."""
    return replace(var, name=f"kept {var.name}")


def _reason(culprit: Expr) -> str:
    if isinstance(culprit, Binary) and culprit.op in ("mul", "div"):
        return "a product of values that change from step to step"
    return "not a linear function, the same at every step, of the state and the inputs"


def _systems(
    states: tuple[Var, ...], inputs: tuple[Var, ...], kept: tuple[Var, ...], flows: dict[str, Flow]
) -> list[System]:
    """States and kept values fall apart into systems that have inputs alone in common."""
    own = {var.name for var in states}
    graph: nx.Graph = nx.Graph()
    graph.add_nodes_from(flows)
    graph.add_edges_from((path.source, name) for name, flow in flows.items() for path in flow if path.source in own)
    found = []
    for members in nx.connected_components(graph):
        sources = {path.source for name in members for path in flows[name]}
        found.append(
            _system(
                tuple(var for var in states if var.name in members),
                tuple(var for var in inputs if var.name in sources),
                tuple(var for var in kept if _output(var).name in members),
                flows,
            )
        )
    return sorted(found, key=lambda system: [states.index(var) for var in system.states])


def _system(states: tuple[Var, ...], inputs: tuple[Var, ...], kept: tuple[Var, ...], flows: dict[str, Flow]) -> System:
    taking_part = [var for var in kept if flows[_output(var).name]]
    every = {var.name: var for var in states + inputs} | {_output(var).name: _output(var) for var in taking_part}
    present = {name: flow for name, flow in flows.items() if name in every}
    classes = axis_classes(every, present)
    known: dict[Axis, AxisClass] = {}
    for name, var in every.items():
        known |= dict(zip(var.axes, classes[name], strict=True))
    variables = (*states, *inputs, *kept)
    shared = tuple(axis for axis in known if all(axis in var.axes and _passes(axis, var, classes) for var in variables))
    same = tuple(axis for axis in shared if known[axis] == "batched")
    return System(inputs, states, kept, shared, same, _kind(states, flows))


def _passes(axis: Axis, var: Var, classes: dict[str, tuple[AxisClass, ...]]) -> bool:
    """Whether an axis of a variable is nowhere crossed; of what is constant every axis is."""
    found = classes.get(var.name, classes.get(_output(var).name))
    return found is None or found[var.axes.index(axis)] != "mixed"


def _kind(states: tuple[Var, ...], flows: dict[str, Flow]) -> Kind:
    own = {var.name for var in states}
    paths = [
        (path.source == var.name and path.index == var.axes, factor.unit)
        for var in states
        for path, factor in flows[var.name].items()
        if path.source in own
    ]
    if not paths:
        return "zero"
    if not all(in_place for in_place, _ in paths):
        return "dense"
    return "identity" if len(paths) == len(states) and all(unit for _, unit in paths) else "diagonal"


def _adds_constant(lets: tuple[Let, ...], moving: Iterable[str], wanted: tuple[Expr, ...]) -> bool:
    """Whether a step from zero, driven by zero, may come to anything but zero; on these, `Unary` is linear."""
    still = set(moving)

    def rule(node: Expr) -> Expr:
        match node:
            case Ref(name) if name in still:
                return ZERO
            case Reduce("sum", x) | Unary(_, x) | Roll(x) | Window(x) | Fold(x) | Solve(_, x) if is_const(x, 0):
                return ZERO
            case Binary("mul", x, y) if is_const(x, 0) or is_const(y, 0):
                return ZERO
            case Binary("div", x, _) if is_const(x, 0):
                return ZERO
            case Binary("add" | "sub", x, y) | Where(_, x, y) if is_const(x, 0) and is_const(y, 0):
                return ZERO
            case _:
                return node

    for let in lets:
        if is_const(rewrite(let.expr, rule), 0):
            still.add(let.name)
    return not all(is_const(rewrite(expr, rule), 0) for expr in wanted)
