"""Cascades in one pass: `F` reads `S` and nothing feeds back, so that both are one block-triangular linear system.

Solved one after the other, `S` is walked twice: once to be solved, once to feed `F`. Where `F` is affine in `S` as well
as in itself, a stretch of steps is `F -> A_FF F + A_FS S + b_F`, and a third block stands in for the second walk."""

from __future__ import annotations

from recc.ir.build import ZERO, add
from recc.ir.nodes import Axis, Recurrence, Ref, Var
from recc.passes.analyse import Component, Proof
from recc.passes.degree import Degree, Refused
from recc.passes.flow import Path
from recc.passes.linear_summary import Block, applied, column_axes, linear_summary, longer, over_own_axes
from recc.passes.stratify import reads
from recc.passes.summary import Part, Summary
from recc.passes.tidy import Namer
from recc.structures.algebra import REAL


class _NotLifted(Exception):
    """The components cannot be solved in one pass, or not by a block that is worth having."""


def cascade(
    recurrence: Recurrence, whole: Recurrence, lower: tuple[Component, ...], upper: tuple[Component, ...], namer: Namer
) -> list[Summary] | None:
    """Summaries of two levels of components that are solved in one pass; None if that cannot be done.

    Every state must be a component of its own, linear in (+,x), and one of the upper level affine in what it reads of
    the lower; what it contracts must be an axis that the lower state's own transition crosses, so that there is a
    column for it."""
    if not all(_is_simple(component) for component in lower + upper):
        return None
    found = {
        component.states[0]: linear_summary(recurrence, whole, component, _proof(component), namer)
        for component in lower
    }
    if any(len(summary.parts) != 1 for summary in found.values()):
        return None
    try:
        lifted = [_lifted(recurrence, whole, component, lower, found, namer) for component in upper]
    except _NotLifted:
        return None
    return [*found.values(), *lifted]


def _is_simple(component: Component) -> bool:
    verdict = component.verdict
    return len(component.states) == 1 and isinstance(verdict, Proof) and verdict.algebra == REAL.name


def _proof(component: Component) -> Proof:
    assert isinstance(component.verdict, Proof)
    return component.verdict


def _lifted(
    recurrence: Recurrence,
    whole: Recurrence,
    component: Component,
    lower: tuple[Component, ...],
    found: dict[str, Summary],
    namer: Namer,
) -> Summary:
    """The summary of an upper component, with a block for every lower state that it reads."""
    (name,) = component.states
    variables = {state.name: state.var for state in recurrence.states}
    read = reads(recurrence)[name]
    sources = [below for below in lower if below.states[0] in read]
    paths = _paths(recurrence, (name, *(below.states[0] for below in sources)))
    own = linear_summary(recurrence, whole, component, _proof(component), namer)
    parts, lets, after = list(own.parts), list(own.lets), own.after[name]
    for below in sources:
        (start,) = below.states
        target, source = variables[name], variables[start]
        cross = _cross(target, _proof(component), source, _proof(below), paths[start], namer)
        feeding = _own_block(source, _proof(below), found[start].parts[0].var)
        moving, column = {name: target, start: source}, {name: cross, start: feeding}
        more, (step,) = longer(recurrence, (recurrence.update_of(name),), moving, column, REAL, namer)
        lets += more
        parts.append(Part(cross.var, name, ZERO, over_own_axes(cross, step)))
        after = add(after, applied(cross, Ref(start, cross.index, source.kind)))
    return Summary(tuple(parts), tuple(lets), {name: after}, own.offsets)


def _paths(recurrence: Recurrence, states: tuple[str, ...]) -> dict[str, dict[Path, frozenset[Axis]]]:
    """How the first state's update reads each of the states, with the axes that the coefficients differ along."""
    try:
        flow = Degree(recurrence, states, REAL).of(recurrence.update_of(states[0]))
    except Refused:
        raise _NotLifted from None
    found: dict[str, dict[Path, frozenset[Axis]]] = {name: {} for name in states}
    for path, factor in flow.items():
        found[path.source][path] = factor.along
    return found


def _cross(
    target: Var, own: Proof, source: Var, feeding: Proof, paths: dict[Path, frozenset[Axis]], namer: Namer
) -> Block:
    """The block of a target that reads a source of a lower level.

    A place of the source is kept if it is always the same axis of the target and neither state's own transition mixes
    it; any other has to be a column of the source's own block. Rows are the axes along which entries differ."""
    classes = dict(zip(target.axes, own.axes[target.name], strict=True))
    kept: dict[Axis, Axis] = {}
    for place, (axis, kind) in enumerate(zip(source.axes, feeding.axes[source.name], strict=True)):
        if kind == "mixed":
            continue
        (stands, *others) = {path.index[place] for path in paths} or {None}
        if others or stands is None or any(path.index.count(stands) > 1 for path in paths):
            raise _NotLifted
        if classes[stands] == "mixed":
            raise _NotLifted
        kept[axis] = stands
    scaled = {axis for axis, kind in zip(source.axes, feeding.axes[source.name], strict=True) if kind == "scaled"}
    differs = {axis for axis, kind in classes.items() if kind != "batched"} | {kept[axis] for axis in scaled}
    differs |= {axis for along in paths.values() for axis in along}
    rows = tuple(axis for axis in target.axes if axis in differs or axis not in kept.values())
    columns = column_axes(tuple(axis for axis in source.axes if axis not in kept))
    var = Var(
        namer(f"A_{target.name}_{source.name}"),
        tuple(axis.size for axis in rows + columns),
        target.complex or source.complex,
    )
    index = tuple(kept[axis] if axis in kept else column_axes((axis,))[0] for axis in source.axes)
    return Block(var, target.name, source.name, rows, columns, index, REAL)


def _own_block(state: Var, proof: Proof, var: Var) -> Block:
    """The block of a state that is a component of its own, by the variable that it was given."""
    classes = dict(zip(state.axes, proof.axes[state.name], strict=True))
    rows = tuple(axis for axis in state.axes if classes[axis] != "batched")
    columns = column_axes(tuple(axis for axis in state.axes if classes[axis] == "mixed"))
    index = tuple(column_axes((axis,))[0] if classes[axis] == "mixed" else axis for axis in state.axes)
    return Block(var, state.name, state.name, rows, columns, index, REAL)
