"""What a recurrence is solved by convolutions with: the linear part of its step, and where its systems stand."""

from __future__ import annotations

from recc.backends.torch.functions import Argument, Body, Context, Result, slots, write
from recc.backends.torch.names import python_name
from recc.ir.nodes import Axis, Let, Var
from recc.passes.lower_convolution import ConvolutionPlan


def response_body(plan: ConvolutionPlan, loose: tuple[Let, ...], context: Context) -> Body:
    """The linear part of a step: the states after it, and what is kept of it."""
    count = len(plan.states)
    updates = zip(plan.results[:count], plan.states, strict=True)
    kept = zip(plan.results[count:], plan.kept, strict=True)
    groups = (
        tuple(Result(expr, var.axes, var) for expr, var in updates),
        tuple(Result(expr, var.axes) for expr, var in kept),
    )
    return write(context, loose + plan.lets, groups)


def render_response(body: Body, plan: ConvolutionPlan, prepared: Argument, constants: Argument, prefix: str) -> str:
    """The function's text; it has the arguments of a step, and of what was prepared reads what drives the states."""
    doc = "What a step makes of changes of state and inputs: its linear part, the same at every step."
    return body.render(f"{prefix}_response", doc, (Argument("state", slots(plan.states)), prepared, constants))


def convolution_value(plan: ConvolutionPlan, prepared: Argument, prefix: str) -> str:
    """The expression that makes the runtime's `Convolution`."""
    places = {slot.name: place for place, slot in enumerate(prepared.slots)}
    inputs = {var.name: places[python_name(var.name)] for var in plan.inputs}
    states = {var.name: place for place, var in enumerate(plan.states)}
    kept = {var.name: place for place, var in enumerate(plan.kept)}
    lines = []
    for system in plan.systems:
        sides = ((system.inputs, inputs), (system.states, states), (system.kept, kept))
        groups = [_tuple([_channel(var, order[var.name], system.shared) for var in side]) for side, order in sides]
        same = _tuple([str(axis in system.same) for axis in system.shared])
        lines.append(f'System({", ".join(groups)}, {same}, "{system.kind}"),')
    body = "\n".join(f"    {line}" for line in lines)
    return f"Convolution({prefix}_response, (\n{body}\n), {plan.offset})"


def _channel(var: Var, place: int, shared: tuple[Axis, ...]) -> str:
    axes = _tuple([f'"{size}"' if isinstance(size, str) else str(size) for size in var.sizes])
    own = _tuple([str(var.axes.index(axis)) for axis in shared])
    return f"Channel({place}, {axes}, {own}{', True' if var.complex else ''})"


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
