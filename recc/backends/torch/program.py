"""A recurrence as the functions of a runtime `Program`: constants, prepare, step, finish, and a scan's levels."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from recc.backends.torch.convolution import convolution_value, render_response, response_body
from recc.backends.torch.functions import Argument, Body, Context, Result, Slot, slots, write
from recc.backends.torch.layout import Views
from recc.backends.torch.names import python_name
from recc.ir.nodes import Arange, Expr, Let, Recurrence, Ref, State, Var
from recc.ir.traverse import names, nodes, symbolic_sizes
from recc.passes.analyse import Analysis
from recc.passes.cost import PassCost, cost_of
from recc.passes.hoist import hoist
from recc.passes.lower_convolution import ConvolutionPlan, lower_convolution
from recc.passes.lower_scan import LevelPlan, lower_scan, with_definitions
from recc.passes.order_axes import order_axes
from recc.passes.schedule import Schedule, Shapes, schedule


@dataclass(frozen=True)
class PrintedProgram:
    """The functions' text, the expression that makes the `Program` of them, and what a pass costs in torch.

    `convolved` says whether what convolutions need is among it. `summaries` are the levels of a scan as recurrences of
    their own, whose states are the level's earlier states, transition and offset."""

    text: str
    value: str
    cost: PassCost
    convolved: bool = False
    summaries: tuple[Recurrence, ...] = ()


@dataclass(frozen=True)
class LevelBodies:
    """A level's three functions, before they are rendered."""

    plan: LevelPlan
    begin: Body
    compose: Body
    advance: Body


@dataclass(frozen=True)
class Crossing:
    """What one stage hands to the next, as the tuples' contents; steps read the first `read` of `prepared`, which
    `prepare` makes."""

    constants: Argument
    prepared: Argument
    prepare: Body
    read: int
    kept: Argument

    @property
    def stepwise(self) -> Argument:
        return Argument("prepared", self.prepared.slots[: self.read])


def print_program(
    recurrence: Recurrence,
    analysis: Analysis | None,
    prefix: str,
    shapes: Shapes,
    context: Context,
    convolved: bool = False,
) -> PrintedProgram:
    """All functions of a recurrence, their names starting with `prefix`; without an analysis it has no scan.

    If it is to be `convolved`, what convolutions need is printed where the step admits it."""
    plan = schedule(order_axes(recurrence, context.ranks), shapes)
    levels = lower_scan(_stepwise(plan), analysis, plan.recurrence) if analysis is not None else ()
    plan, levels = hoist(plan, levels, shapes, frozenset(let.name for let in (*_loose(plan), *plan.step)))
    views = _views(plan)
    step = _step(plan, views, context)
    bodies = [_level(level, plan, views, context) for level in levels]
    finish = _finish(plan, context)
    found = lower_convolution(plan) if convolved else None
    convolution = found if isinstance(found, ConvolutionPlan) else None
    response = [response_body(convolution, _loose(plan), context)] if convolution is not None else []
    walked = (step, *(body.compose for body in bodies), *(b.begin for b in bodies))
    crossing = _crossing(plan, views, context, walked, (finish,), tuple(response))
    texts = [
        _constants(plan, crossing, prefix, context),
        _prepare(plan, crossing, prefix),
        _render_step(step, plan, crossing, prefix),
        _render_finish(finish, crossing, prefix),
    ]
    values = []
    for number, body in enumerate(bodies):
        own = f"{prefix}_{number}" if len(levels) > 1 else prefix
        texts += _render_level(body, plan, crossing, own)
        values.append(_level_value(body.plan, plan, own))
    solved = ""
    if convolution is not None:
        texts.append(render_response(response[0], convolution, crossing.prepared, crossing.constants, prefix))
        solved = convolution_value(convolution, crossing.prepared, prefix)
    value = _program_value(prefix, values, crossing, solved)
    early = plan.constants + plan.prepare
    summaries = tuple(with_definitions(level.compose, plan.recurrence, early) for level in levels)
    return PrintedProgram("\n\n\n".join(texts), value, _cost(plan, levels), convolution is not None, summaries)


def _program_value(prefix: str, levels: list[str], crossing: Crossing, convolution: str) -> str:
    names = [f"{prefix}_{stage}" for stage in ("constants", "prepare", "step", "finish")]
    lines = [f"{name}," for name in names]
    if levels:
        lines += ["levels=(", *(f"    {level}," for level in levels), "),"]
    if crossing.read < len(crossing.prepared.slots):
        lines.append(f"read={crossing.read},")
    if convolution:
        lines += f"convolution={convolution},".splitlines()
    return "\n".join(["Program(", *(f"    {line}" for line in lines), ")"])


def _cost(plan: Schedule, levels: tuple[LevelPlan, ...]) -> PassCost:
    """The cost of one step when walked, of all passes over one step of a scan, and of what is made for all steps."""
    recurrence = plan.recurrence
    shared = frozenset(item.name for item in (*recurrence.params, *plan.constants))
    walked = scanned = cost_of(plan.step, recurrence.updates, shared)
    for level in levels:
        scanned = scanned + cost_of(level.compose.lets, level.compose.updates, shared)
    ahead = cost_of(plan.prepare, (), shared)
    ahead = ahead + cost_of(plan.finish, tuple(item.expr for item in recurrence.outputs), shared)
    totals = cost_of((), tuple(item.expr for item in recurrence.totals))
    return PassCost(walked, scanned if levels else None, ahead + replace(totals, elements=(), products=totals.elements))


def _stepwise(plan: Schedule) -> Recurrence:
    """The part of a recurrence that its steps compute, with what is made before them as inputs and params."""
    recurrence = plan.recurrence
    return replace(
        recurrence,
        inputs=recurrence.inputs + tuple(map(_variable, plan.prepare)),
        params=recurrence.params + tuple(map(_variable, _fixed(plan))),
        lets=_loose(plan) + plan.step,
        outputs=(),
        totals=(),
    )


def _variable(let: Let) -> Var:
    return Var(let.name, tuple(axis.size for axis in let.axes), let.kind == "complex")


def _fixed(plan: Schedule) -> tuple[Let, ...]:
    """Constants that are made of params once for a whole call."""
    loose = {let.name for let in _loose(plan)}
    return tuple(let for let in plan.constants if let.name not in loose)


def _loose(plan: Schedule) -> tuple[Let, ...]:
    """Constants that are made where they are needed: plain numbers, and what no param tells the sizes of, or a dtype
    and a device."""
    recurrence = plan.recurrence
    known = {size for var in recurrence.params for size in var.sizes} | {size for size, _ in recurrence.sizes}
    numbers: dict[str, set[str]] = {}
    loose: dict[str, Let] = {}
    for let in plan.constants:
        read = names(let.expr)
        sizes = symbolic_sizes(let.expr).union(*(numbers.get(name, ()) for name in read))
        if read <= numbers.keys() and not any(isinstance(node, Arange) for node in nodes(let.expr)):
            numbers[let.name] = sizes
            loose[let.name] = let
        elif not recurrence.params or read & (loose.keys() - numbers.keys()) or not sizes <= known:
            loose[let.name] = let
    return tuple(loose.values())


def _timeless(plan: Schedule) -> frozenset[str]:
    """Constants that no param has a part in: their values have no leading dimensions."""
    found: set[str] = set()
    for let in plan.constants:
        if names(let.expr) <= found:
            found.add(let.name)
    return frozenset(found)


def _before_steps(plan: Schedule) -> tuple[tuple[Var, ...], tuple[Var, ...]]:
    """The variables that are there before the steps: constant ones, and those with a value for each step."""
    recurrence = plan.recurrence
    constants = recurrence.params + tuple(map(_variable, _fixed(plan)))
    return constants, recurrence.inputs + tuple(map(_variable, plan.prepare))


def _views(plan: Schedule) -> Views:
    constants, prepared = _before_steps(plan)
    recurrence = plan.recurrence
    every = {python_name(var.name) for var in recurrence.variables} | {python_name(let.name) for let in recurrence.lets}
    every |= {size for var in recurrence.variables for size in var.sizes if isinstance(size, str)}
    return Views({python_name(var.name) for var in constants + prepared}, every)


def _crossing(
    plan: Schedule,
    views: Views,
    context: Context,
    in_steps: tuple[Body, ...],
    finish: tuple[Body, ...],
    response: tuple[Body, ...],
) -> Crossing:
    """What later stages read of earlier ones, found in the text of their functions."""
    recurrence = plan.recurrence
    constants, prepared = _before_steps(plan)
    kept = _kept(plan)
    words = set().union(*(body.words for body in in_steps)) | {slot.code for slot in slots(kept)}
    states = tuple(state.var for state in recurrence.states)
    words |= _carriers(in_steps, states, prepared + constants)
    late = set().union(*(body.words for body in finish + response))
    late |= _carriers(finish, kept, prepared + constants) | _carriers(response, states, prepared + constants)
    made = [Slot(name, code, None) for code, name in views.made.items() if name in words]
    bases = {slot.name: views.bases[slot.code] for slot in made}
    stepwise = [slot for slot in slots(prepared) if slot.name in words]
    ours = {slot.name for slot in slots(prepared)}
    stepwise += [slot for slot in made if bases[slot.name] in ours]
    rest = [slot for slot in slots(prepared) if slot.name in late and slot.name not in words]
    handed = Argument("prepared", tuple(stepwise + rest))
    prepare = _handing(_loose(plan) + plan.prepare, handed, context)
    early = _prepare_words(plan) | _carriers((prepare,), recurrence.inputs, constants)
    fixed = [slot for slot in slots(constants) if slot.name in words | late | early]
    fixed += [slot for slot in made if bases[slot.name] not in ours]
    return Crossing(
        Argument("constants", tuple(fixed)),
        handed,
        prepare,
        len(stepwise),
        Argument("kept", slots(kept)),
    )


def _kept(plan: Schedule) -> tuple[Var, ...]:
    recurrence = plan.recurrence
    variables = {var.name: var for var in recurrence.variables} | {let.name: _variable(let) for let in recurrence.lets}
    return tuple(variables[name] for name in plan.kept)


def _carriers(bodies: tuple[Body, ...], present: tuple[Var, ...], others: tuple[Var, ...]) -> set[str]:
    """Variables that a function must be given so that it knows the sizes and the dtype that it needs."""
    found = set()
    for body in bodies:
        for size in body.sizes:
            if not any(size in var.sizes for var in present):
                found.add(next(python_name(var.name) for var in others if size in var.sizes))
        if body.needs_like and not present:
            found.add(python_name(others[0].name))
    return found


def _prepare_words(plan: Schedule) -> set[str]:
    """The names that `prepare` reads."""
    lets = plan.prepare + _loose(plan)
    found = {node.name for let in lets for node in nodes(let.expr) if isinstance(node, Ref)}
    return {python_name(name) for name in found}


def _constants(plan: Schedule, crossing: Crossing, prefix: str, context: Context) -> str:
    argument = Argument("params", slots(plan.recurrence.params))
    doc = "What depends on the params alone."
    return _handing(plan.constants, crossing.constants, context).render(f"{prefix}_constants", doc, (argument,))


def _prepare(plan: Schedule, crossing: Crossing, prefix: str) -> str:
    arguments = (Argument("inputs", slots(plan.recurrence.inputs)), crossing.constants)
    doc = "What depends on inputs and params alone, for all steps at once."
    return crossing.prepare.render(f"{prefix}_prepare", doc, arguments)


def _handing(lets: tuple[Let, ...], handed: Argument, context: Context) -> Body:
    """A body that makes definitions, and returns variables and views of them."""
    bases = {re.split(r"\W", slot.code)[0] for slot in handed.slots}
    wanted = tuple(Result(let.ref(), let.axes) for let in lets if python_name(let.name) in bases)
    body = write(context, lets, (wanted,))
    return replace(body, groups=(tuple(slot.code for slot in handed.slots),))


def _step(plan: Schedule, views: Views, context: Context) -> Body:
    recurrence = plan.recurrence
    kept = tuple(Result(var.ref(), var.axes) for var in _kept(plan))
    updates = _updates(recurrence.states, recurrence.updates)
    return write(context, _loose(plan) + plan.step, (updates, kept), views=views)


def _updates(states: tuple[State, ...], updates: tuple[Expr, ...]) -> tuple[Result, ...]:
    return tuple(Result(expr, state.var.axes, state.var) for state, expr in zip(states, updates, strict=True))


def _render_step(body: Body, plan: Schedule, crossing: Crossing, prefix: str) -> str:
    state = Argument("state", slots(tuple(state.var for state in plan.recurrence.states)))
    doc = "One step: the new state, and what is kept of the step."
    return body.render(f"{prefix}_step", doc, (state, crossing.stepwise, crossing.constants))


def _finish(plan: Schedule, context: Context) -> Body:
    recurrence = plan.recurrence
    outputs = tuple(Result(item.expr, item.var.axes) for item in recurrence.outputs)
    return write(context, _loose(plan) + plan.finish, (outputs,), totals=recurrence.totals, timeless=_timeless(plan))


def _render_finish(body: Body, crossing: Crossing, prefix: str) -> str:
    doc = "The outputs, and what is summed over time, for all steps at once."
    return body.render(f"{prefix}_finish", doc, (crossing.kept, crossing.prepared, crossing.constants))


def _level(level: LevelPlan, plan: Schedule, views: Views, context: Context) -> LevelBodies:
    variables = {state.name: state.var for state in plan.recurrence.states}
    own = tuple(variables[name] for name in level.states)
    compose = order_axes(level.compose, context.ranks)
    results = _updates(compose.states, compose.updates)
    count, blocks = len(level.earlier), len(level.parts)
    groups = (results[:count], results[count : count + blocks], results[count + blocks :])
    advance = tuple(Result(expr, var.axes, var) for expr, var in zip(level.advance, own, strict=True))
    return LevelBodies(
        level,
        begin=write(context, (), _neutral(level, variables)),
        compose=write(context, compose.lets, groups, views=views),
        advance=write(context, (), (advance,)),
    )


def _render_level(bodies: LevelBodies, plan: Schedule, crossing: Crossing, prefix: str) -> list[str]:
    level = bodies.plan
    variables = {state.name: state.var for state in plan.recurrence.states}
    own = tuple(variables[name] for name in level.states)
    shifted = tuple(variables[name] for name in level.shifted)
    offsets = tuple(replace(var, name=name) for var, name in zip(shifted, level.offsets, strict=True))
    transition = Argument("transition", slots(tuple(part.var for part in level.parts)))
    state = Argument("state", slots(own))
    earlier = Argument("earlier", slots(tuple(variables[name] for name in level.earlier)))
    walked = (earlier, transition, Argument("offset", slots(shifted)), crossing.stepwise, crossing.constants)
    return [
        bodies.begin.render(
            f"{prefix}_begin",
            "The summary of no step at all: the identity, and nothing added.",
            (state, crossing.constants),
        ),
        bodies.compose.render(f"{prefix}_compose", "A summary of some steps, longer by one step.", walked),
        bodies.advance.render(
            f"{prefix}_advance",
            "The state after some steps, from their summary and the state before them.",
            (transition, Argument("offset", slots(offsets)), state),
        ),
    ]


def _neutral(level: LevelPlan, variables: dict[str, Var]) -> tuple[tuple[Result, ...], ...]:
    """Neutral parts and offsets, behind the leading dimensions of the states that they belong to."""
    parts = tuple(Result(part.neutral, part.var.axes, variables[part.state], spread=True) for part in level.parts)
    zeros = [(expr, variables[name]) for expr, name in zip(level.zeros, level.shifted, strict=True)]
    return parts, tuple(Result(expr, var.axes, var, spread=True) for expr, var in zeros)


def _level_value(level: LevelPlan, plan: Schedule, prefix: str) -> str:
    """The expression that makes a `Level`: positions of its states and of the earlier ones, and its functions."""
    order = plan.recurrence.state_names

    def places(names: tuple[str, ...]) -> str:
        inside = ", ".join(str(order.index(name)) for name in names)
        return f"({inside}{',' if len(names) == 1 else ''})"

    functions = ", ".join(f"{prefix}_{part}" for part in ("begin", "compose", "advance"))
    return f"Level({places(level.states)}, {places(level.earlier)}, {functions})"
