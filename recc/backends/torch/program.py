"""A recurrence as the functions of a runtime `Program`: constants, prepare, step, finish, and a scan's levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recc.backends.torch.functions import Argument, Context, function, spreading
from recc.ir.nodes import Expr, Let, Recurrence, Ref, State, Var
from recc.ir.traverse import nodes
from recc.passes.analyse import Analysis
from recc.passes.cost import Cost, cost_of
from recc.passes.lower_scan import LevelPlan, lower_scan
from recc.passes.order_axes import order_axes
from recc.passes.schedule import Schedule, Shapes, schedule

Results = tuple[tuple[Expr, tuple, str | None], ...]


@dataclass(frozen=True)
class PrintedProgram:
    """The functions' text, the expression that makes the `Program` of them, and the costs of a step: walked, scanned."""

    text: str
    value: str
    costs: tuple[Cost, Cost]


@dataclass(frozen=True)
class Crossing:
    """What one stage hands to the next: variables, as the tuples' contents; steps read the first `read` of
    `prepared`."""

    constants: tuple[Var, ...]
    prepared: tuple[Var, ...]
    read: int
    kept: tuple[Var, ...]

    @property
    def stepwise(self) -> Argument:
        return Argument("prepared", self.prepared[: self.read])


def print_program(
    recurrence: Recurrence, analysis: Analysis | None, prefix: str, shapes: Shapes, context: Context
) -> PrintedProgram:
    """All functions of a recurrence, their names starting with `prefix`; without an analysis it has no scan."""
    plan = schedule(order_axes(recurrence, context.ranks), shapes)
    levels = lower_scan(_stepwise(plan), analysis) if analysis is not None else ()
    crossing = _crossing(plan, levels)
    texts = [
        _constants(plan, crossing, prefix, context),
        _prepare(plan, crossing, prefix, context),
        _step(plan, crossing, prefix, context),
        _finish(plan, crossing, prefix, context),
    ]
    values = []
    for number, level in enumerate(levels):
        own = f"{prefix}_{number}" if len(levels) > 1 else prefix
        texts += _level(level, plan, crossing, own, context)
        values.append(_level_value(level, plan, own))
    return PrintedProgram("\n\n\n".join(texts), _program_value(prefix, values, crossing), _costs(plan, levels))


def _program_value(prefix: str, levels: list[str], crossing: Crossing) -> str:
    names = [f"{prefix}_{stage}" for stage in ("constants", "prepare", "step", "finish")]
    lines = [", ".join(names) + ","]
    if levels:
        lines += ["levels=(", *(f"    {level}," for level in levels), "),"]
    if crossing.read < len(crossing.prepared):
        lines.append(f"read={crossing.read},")
    return "\n".join(["Program(", *(f"    {line}" for line in lines), ")"])


def _costs(plan: Schedule, levels: tuple[LevelPlan, ...]) -> tuple[Cost, Cost]:
    """The cost of one step when walked, and of all passes over one step of a scan."""
    once = cost_of(plan.step, plan.recurrence.updates)
    scanned = once
    for level in levels:
        scanned = scanned + cost_of(level.compose.lets, level.compose.updates)
    return once, scanned


def _stepwise(plan: Schedule) -> Recurrence:
    """The part of a recurrence that its steps compute, with what is made before them as inputs and params."""
    recurrence = plan.recurrence
    made = {stage: tuple(_variable(let) for let in getattr(plan, stage)) for stage in ("constants", "prepare")}
    loose = _loose(plan)
    return replace(
        recurrence,
        inputs=recurrence.inputs + made["prepare"],
        params=recurrence.params + (() if loose else made["constants"]),
        lets=loose + plan.step,
        outputs=(),
        totals=(),
    )


def _crossing(plan: Schedule, levels: tuple[LevelPlan, ...]) -> Crossing:
    """What later stages read of earlier ones; without params, constants are made where they are needed instead."""
    recurrence = plan.recurrence
    variables = {var.name: var for var in recurrence.variables} | {let.name: _variable(let) for let in recurrence.lets}
    results = tuple(item.expr for item in recurrence.outputs + recurrence.totals)
    in_steps = _read_of(plan.step, (*recurrence.updates, *(variables[name].ref() for name in plan.kept)))
    for level in levels:
        in_steps |= _read_of(level.compose.lets, level.compose.updates)
    in_the_end = _read_of(plan.finish, results)
    read = in_steps | in_the_end | _read_of(plan.prepare, ())
    prepared = [var.name for var in recurrence.inputs] + [let.name for let in plan.prepare]
    constants = [var.name for var in recurrence.params]
    constants += [let.name for let in plan.constants] if recurrence.params else []
    first = [name for name in prepared if name in in_steps]
    rest = [name for name in prepared if name in in_the_end and name not in in_steps]
    return Crossing(
        constants=tuple(variables[name] for name in constants if name in read),
        prepared=tuple(variables[name] for name in first + rest),
        read=len(first),
        kept=tuple(variables[name] for name in plan.kept),
    )


def _read_of(lets: tuple[Let, ...], results: tuple[Expr, ...]) -> set[str]:
    exprs = tuple(let.expr for let in lets) + results
    return {node.name for expr in exprs for node in nodes(expr) if isinstance(node, Ref)}


def _variable(let: Let) -> Var:
    return Var(let.name, tuple(axis.size for axis in let.axes), let.kind == "complex")


def _states(recurrence: Recurrence) -> Argument:
    return Argument("state", tuple(state.var for state in recurrence.states))


def _loose(plan: Schedule) -> tuple[Let, ...]:
    """Constants that no function of their own makes, because there is no param to tell a dtype and a device."""
    return () if plan.recurrence.params else plan.constants


def _constants(plan: Schedule, crossing: Crossing, prefix: str, context: Context) -> str:
    results = tuple((var.ref(), var.axes, None) for var in crossing.constants)
    argument = Argument("params", plan.recurrence.params)
    doc = "What depends on the params alone."
    return function(f"{prefix}_constants", doc, (argument,), plan.constants, (results,), context)


def _prepare(plan: Schedule, crossing: Crossing, prefix: str, context: Context) -> str:
    results = tuple((var.ref(), var.axes, None) for var in crossing.prepared)
    arguments = (Argument("inputs", plan.recurrence.inputs), Argument("constants", crossing.constants))
    doc = "What depends on inputs and params alone, for all steps at once."
    return function(f"{prefix}_prepare", doc, arguments, _loose(plan) + plan.prepare, (results,), context)


def _step(plan: Schedule, crossing: Crossing, prefix: str, context: Context) -> str:
    recurrence = plan.recurrence
    arguments = (
        _states(recurrence),
        crossing.stepwise,
        Argument("constants", crossing.constants),
    )
    updates = _updates(recurrence.states, recurrence.updates)
    kept = tuple((var.ref(), var.axes, None) for var in crossing.kept)
    doc = "One step: the new state, and what is kept of the step."
    return function(f"{prefix}_step", doc, arguments, _loose(plan) + plan.step, (updates, kept), context)


def _updates(states: tuple[State, ...], updates: tuple[Expr, ...]) -> Results:
    return tuple((expr, state.var.axes, state.name) for state, expr in zip(states, updates, strict=True))


def _finish(plan: Schedule, crossing: Crossing, prefix: str, context: Context) -> str:
    recurrence = plan.recurrence
    arguments = (
        Argument("kept", crossing.kept),
        Argument("prepared", crossing.prepared),
        Argument("constants", crossing.constants),
    )
    outputs = tuple((item.expr, item.var.axes, None) for item in recurrence.outputs)
    totals = tuple((item.expr, item.var.axes) for item in recurrence.totals)
    doc = "The outputs, and what is summed over time, for all steps at once."
    return function(f"{prefix}_finish", doc, arguments, _loose(plan) + plan.finish, (outputs,), context, totals)


def _level(level: LevelPlan, plan: Schedule, crossing: Crossing, prefix: str, context: Context) -> list[str]:
    variables = {state.name: state.var for state in plan.recurrence.states}
    own = tuple(variables[name] for name in level.states)
    constants = Argument("constants", crossing.constants)
    begin = spreading(
        f"{prefix}_begin",
        "The summary of no step at all: the identity, and nothing added.",
        (Argument("state", own), constants),
        _neutral(level, own, variables),
        context,
    )
    compose = order_axes(level.compose, context.ranks)
    earlier = tuple(variables[name] for name in level.earlier)
    count, blocks = len(earlier), len(level.blocks)
    results = _updates(compose.states, compose.updates)
    arguments = (
        Argument("earlier", earlier),
        Argument("transition", tuple(block.var for block in level.blocks)),
        Argument("offset", own),
        crossing.stepwise,
        constants,
    )
    text = function(
        f"{prefix}_compose",
        "A summary of some steps, longer by one step.",
        arguments,
        compose.lets,
        (results[:count], results[count : count + blocks], results[count + blocks :]),
        context,
    )
    offsets = tuple(replace(var, name=name) for var, name in zip(own, level.offsets, strict=True))
    advance = function(
        f"{prefix}_advance",
        "The state after some steps, from their summary and the state before them.",
        (Argument("transition", tuple(block.var for block in level.blocks)), Argument("offset", offsets), Argument("state", own)),
        (),
        (tuple((expr, var.axes, var.name) for expr, var in zip(level.advance, own, strict=True)),),
        context,
    )
    return [begin, text, advance]


def _neutral(level: LevelPlan, own: tuple[Var, ...], variables: dict[str, Var]):
    """Neutral blocks and neutral offsets, each beside the state whose leading dimensions it takes."""
    count = len(level.blocks)
    blocks = tuple(
        (expr, block.var.axes, variables[block.target])
        for expr, block in zip(level.neutral[:count], level.blocks, strict=True)
    )
    offsets = tuple((expr, var.axes, var) for expr, var in zip(level.neutral[count:], own, strict=True))
    return blocks, offsets


def _level_value(level: LevelPlan, plan: Schedule, prefix: str) -> str:
    """The expression that makes a `Level`: positions of its states and of the earlier ones, and its functions."""
    order = plan.recurrence.state_names

    def places(names: tuple[str, ...]) -> str:
        inside = ", ".join(str(order.index(name)) for name in names)
        return f"({inside}{',' if len(names) == 1 else ''})"

    functions = ", ".join(f"{prefix}_{part}" for part in ("begin", "compose", "advance"))
    return f"Level({places(level.states)}, {places(level.earlier)}, {functions})"
