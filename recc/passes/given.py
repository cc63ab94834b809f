"""`given`: the recurrence that is left when the values of some of its states are known; `held`: which states wait."""

from __future__ import annotations

from dataclasses import replace

from recc.ir.nodes import Expr, Let, Recurrence, Ref, State, Var, Where
from recc.ir.traverse import names
from recc.passes.drivers import Drivers


def given(recurrence: Recurrence, known: tuple[str, ...]) -> Recurrence:
    """The recurrence with some states as inputs: their values on entry and, where they have a name, after the step.

    `h = tanh(W @ c); c = a * c + h` given `h` leaves `c = a * c + h`, which is linear."""
    states = {state.name: state for state in recurrence.states}
    ends = [end for name in known if (end := _end(recurrence, states[name])) is not None]
    kept = tuple(state for state in recurrence.states if state.name not in known)
    values = tuple(Var(end.name, states[name].var.sizes, end.kind == "complex") for name, end in ends)
    return replace(
        recurrence,
        inputs=recurrence.inputs + tuple(states[name].var for name in known) + values,
        states=kept,
        lets=tuple(let for let in recurrence.lets if let.name not in {end.name for _, end in ends}),
        updates=tuple(recurrence.update_of(state.name) for state in kept),
    )


def held(recurrence: Recurrence, states: tuple[str, ...], drivers: Drivers) -> tuple[str, ...]:
    """The states that change only at times that are known in advance: `where(t % 16 == 0, W, hold_W)`."""
    variables = {state.name: state for state in recurrence.states}
    return tuple(name for name in states if _waits(recurrence, variables[name], drivers))


def _end(recurrence: Recurrence, state: State) -> tuple[str, Let] | None:
    """The definition that a state's update names, if it is over the state's axes as they are."""
    update = recurrence.update_of(state.name)
    found = next((let for let in recurrence.lets if isinstance(update, Ref) and let.name == update.name), None)
    if found is None or not found.axes == state.var.axes == getattr(update, "index", None):
        return None
    return state.name, found


def _waits(recurrence: Recurrence, state: State, drivers: Drivers) -> bool:
    end = _end(recurrence, state)
    update: Expr = recurrence.update_of(state.name) if end is None else end[1].expr
    match update:
        case Where(test, x, y) if state.var.ref() in (x, y):
            return drivers.of(names(test)) == "autonomous"
        case _:
            return False
