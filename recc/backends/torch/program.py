"""A recurrence as the functions of a runtime `Program`: constants, prepare, step, finish, and a scan's levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recc.backends.torch.functions import Argument, Context, function, spreading
from recc.ir.nodes import Expr, Let, Recurrence, Ref, State, Var
from recc.ir.traverse import nodes
from recc.passes.lower_scan import LevelPlan
from recc.passes.order_axes import order_axes
from recc.passes.schedule import Schedule, Shapes, name_positions, schedule

Results = tuple[tuple[Expr, tuple, str | None], ...]


@dataclass(frozen=True)
class PrintedProgram:
    """The functions' text, and the expression that makes the `Program` of them."""

    text: str
    value: str


@dataclass(frozen=True)
class Crossing:
    """What one stage hands to the next: variables, as the tuples' contents."""

    constants: tuple[Var, ...]
    prepared: tuple[Var, ...]
    kept: tuple[Var, ...]


def print_program(
    recurrence: Recurrence, levels: tuple[LevelPlan, ...] | None, prefix: str, shapes: Shapes, context: Context
) -> PrintedProgram:
    """All functions of a recurrence, their names starting with `prefix`."""
    plan = schedule(recurrence, shapes)
    crossing = _crossing(plan, levels or ())
    texts = [
        _constants(plan, crossing, prefix, context),
        _prepare(plan, crossing, prefix, context),
        _step(plan, crossing, prefix, context),
        _finish(plan, crossing, prefix, context),
    ]
    names = [f"{prefix}_{stage}" for stage in ("constants", "prepare", "step", "finish")]
    level_names = []
    for number, level in enumerate(levels or ()):
        texts += _level(level, plan, crossing, f"{prefix}_{number}" if len(levels or ()) > 1 else prefix, context)
        level_names.append(_level_value(level, plan, f"{prefix}_{number}" if len(levels or ()) > 1 else prefix))
    lines = [", ".join(names) + ","]
    if level_names:
        lines += ["(", *(f"    {name}," for name in level_names), "),"]
    value = "\n".join(["Program(", *(f"    {line}" for line in lines), ")"])
    return PrintedProgram("\n\n\n".join(texts), value)


def _crossing(plan: Schedule, levels: tuple[LevelPlan, ...]) -> Crossing:
    """What later stages read of earlier ones; without params, constants are made where they are needed instead."""
    recurrence = plan.recurrence
    variables = {let.name: _variable(let) for let in recurrence.lets} | {var.name: var for var in recurrence.variables}
    read = _read_of(plan.step, recurrence.updates) | _read_of(
        plan.finish, tuple(item.expr for item in recurrence.outputs + recurrence.totals)
    )
    for level in levels:
        read |= _read_of(level.compose.lets, level.compose.updates)
    prepared_names = [var.name for var in recurrence.inputs] + [let.name for let in plan.prepare]
    constant_names = [var.name for var in recurrence.params]
    if recurrence.params:
        constant_names += [let.name for let in plan.constants]
        read |= _read_of(plan.prepare, ())
    return Crossing(
        constants=tuple(variables[name] for name in constant_names if name in read),
        prepared=tuple(variables[name] for name in prepared_names if name in read),
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
        Argument("prepared", crossing.prepared),
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
    stages = _made_before(plan)
    compose = order_axes(name_positions(level.compose), context.ranks)
    earlier = tuple(variables[name] for name in level.earlier)
    count, blocks = len(earlier), len(level.blocks)
    results = _updates(compose.states, compose.updates)
    arguments = (
        Argument("earlier", earlier),
        Argument("transition", tuple(block.var for block in level.blocks)),
        Argument("offset", own),
        Argument("prepared", crossing.prepared),
        constants,
    )
    lets = tuple(let for let in compose.lets if let.name not in stages)
    text = function(
        f"{prefix}_compose",
        "A summary of some steps, longer by one step.",
        arguments,
        lets,
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


def _made_before(plan: Schedule) -> set[str]:
    """Names that cross into the steps, so that a compose function reads them instead of computing them."""
    made = {let.name for let in plan.prepare}
    return made | ({let.name for let in plan.constants} if plan.recurrence.params else set())


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
