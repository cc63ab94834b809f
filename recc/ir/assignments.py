"""A step as assignments to names of the surface language: the printer's plan of what to write, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from recc.ir.build import binary, mul
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Let,
    Output,
    Recurrence,
    Reduce,
    Ref,
    SizeOf,
    Solve,
    State,
    Where,
    Window,
)
from recc.ir.notation import NotPlain, plain_axes
from recc.ir.traverse import define, fresh_axis, inline, map_exprs, names, rewrite, substitute


@dataclass(frozen=True)
class Assignment:
    """One assignment: to which surface name, over which axes, of what."""

    name: str
    axes: tuple[Axis, ...]
    expr: Expr
    output: Output | None = None


@dataclass
class Plan:
    """Chooses what each definition is called in the text (`surface`): often the state whose next value it is.

    `states` are those that are assigned, `taken` the names that new ones must not have."""

    recurrence: Recurrence
    states: tuple[State, ...]
    taken: set[str]
    surface: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recurrence = inline_windows(self.recurrence)
        self.holds = {state.name: state.name for state in self.states}

    def assignments(self) -> list[Assignment]:
        """All assignments of a step in order: definitions, outputs that are no definition, new states.

        Raises `ValueError` for an output with the name of a state that is not the state's new value, and for a `Solve`
        that the language cannot say."""
        r = self.recurrence
        for item in r.outputs:
            if item.name in r.state_names and item.expr != r.update_of(item.name):
                raise ValueError(f"the output `{item.name}` is not what the state `{item.name}` holds after the step")
        outputs = {item.name: item for item in r.outputs if item.name not in r.state_names}
        claimed = self.claims(outputs)
        result: list[Assignment] = []
        for place, let in enumerate(r.lets):
            item, state = claimed.get(let.name), self.replaced(let, place)
            if item is None and state is not None:
                self.surface[let.name] = state
                self.holds[state] = let.name
            result.append(Assignment(self.surface.get(let.name, let.name), let.axes, let.expr, item))
        rest = [item for item in outputs.values() if item not in claimed.values()]
        result += [Assignment(item.name, item.var.axes, item.expr, item) for item in rest]
        return [legal for assignment in result + self.new_states() for legal in self.legal(assignment)]

    def claims(self, outputs: Mapping[str, Output]) -> dict[str, Output]:
        """Definitions that can be written as `output o[V] = ...` where they stand."""
        lets = {let.name: let for let in self.recurrence.lets}
        found = {name: lets[name] for name in outputs if name in lets and lets[name].ref() == outputs[name].expr}
        return {name: outputs[name] for name, let in found.items() if let.axes == outputs[name].var.axes}

    def replaced(self, let: Let, place: int) -> str | None:
        """The state whose name a definition can take: it is a next value of it, and the last one is read no more."""
        r = self.recurrence
        match = re.fullmatch(r"(.+?)(_\d+)+", let.name)
        state = next((s for s in r.states if match and s.name == match[1] and s.name in self.holds), None)
        if state is None or let.axes != state.var.axes or let.kind not in ("real", state.var.kind):
            return None
        if isinstance(let.expr, Fixpoint):
            return None
        later = chain((other.expr for other in r.lets[place + 1 :]), r.updates, (item.expr for item in r.outputs))
        return None if any(self.holds[state.name] in names(expr) for expr in later) else state.name

    def new_states(self) -> list[Assignment]:
        """Assignments to the states that do not hold their new values yet, each after the last that reads it."""
        r, holds = self.recurrence, self.holds
        updates = {state: r.update_of(state.name) for state in self.states}
        left = [
            s
            for s in self.states
            if holds[s.name] == s.name or updates[s] != Ref(holds[s.name], s.var.axes, s.var.kind)
        ]
        result: list[Assignment] = []
        while left:
            state = next((s for s in left if not self.read_by_others(s, left, updates)), None)
            if state is None:
                state = left[0]
                name = self.fresh(f"{state.name}_new")
                result.append(Assignment(name, state.var.axes, updates[state]))
                updates[state] = Ref(name, state.var.axes, updates[state].kind)
                left = [*left[1:], state]
            else:
                result.append(Assignment(state.name, state.var.axes, updates[state]))
                left.remove(state)
        return result

    def read_by_others(self, state: State, left: list[State], updates: Mapping[State, Expr]) -> bool:
        return any(self.holds[state.name] in names(updates[other]) for other in left if other != state)

    def fresh(self, base: str) -> str:
        name, count = base, 0
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name

    def legal(self, assignment: Assignment) -> Iterator[Assignment]:
        """The assignment, after those for the parts that the language only has as definitions of their own."""
        if isinstance(assignment.expr, Fixpoint):
            yield from self.loop(assignment, assignment.expr)
            return
        if is_plain(assignment, True):
            yield assignment
            return
        made: list[Assignment] = []

        def named(node: Solve) -> Expr:
            system = self.operands(node, made)
            rest = system.rhs.axes[1:]
            let = define(self.fresh("solution"), system, axes=(node.col, *rest))
            made.append(Assignment(let.name, let.axes, let.expr))
            return Ref(let.name, (node.col, *rest), let.kind)

        def rule(node: Expr) -> Expr:
            match node:
                case Window():
                    return _spread_window(node)
                case Fold():
                    return _spread_fold(node)
                case Solve() if node is not assignment.expr:
                    return named(node)
                case _:
                    return node

        root = assignment.expr
        if isinstance(root, Solve):
            parts = replace(root, matrix=rewrite(root.matrix, rule), rhs=rewrite(root.rhs, rule))
            expr: Expr = self.operands(parts, made)
        else:
            expr = rewrite(root, rule)
        yield from made
        yield replace(assignment, expr=expr)

    def loop(self, assignment: Assignment, node: Fixpoint) -> Iterator[Assignment]:
        """A fixed point, after names for what it is given and for what has not the form of a start."""
        given: list[Let] = []
        for let in node.given:
            if not isinstance(let.expr, Ref) or let.expr.index != let.axes:
                name = self.fresh(let.name)
                yield from self.legal(Assignment(name, let.axes, let.expr))
                let = replace(let, expr=Ref(name, let.axes, let.kind))
            given.append(let)
        start = Assignment(assignment.name, node.unknown.axes, node.start)
        if not is_plain(start, False):
            name = self.fresh(f"{assignment.name}_start")
            yield from self.legal(replace(start, name=name))
            start = replace(start, expr=Ref(name, start.axes, node.start.kind))
        closed = replace(node, start=start.expr, given=tuple(given))
        if node.index == assignment.axes:
            yield replace(assignment, expr=closed)
            return
        name = self.fresh(node.unknown.name)
        yield Assignment(name, node.unknown.axes, replace(closed, index=node.unknown.axes))
        yield replace(assignment, expr=Ref(name, node.index, node.kind))

    def operands(self, node: Solve, made: list[Assignment]) -> Solve:
        """The system whose matrix and right side are names, with their axes in the order that `solve` needs."""
        rest = tuple(axis for axis in node.axes if axis != node.col)
        inner = tuple(axis for axis in rest if axis in node.matrix.axes)
        if any(axis.size == node.row.size for axis in inner):
            raise ValueError(f"the matrix of `solve` has one more axis of the size `{node.row.size}`")
        orders = ((*inner, node.row, node.col), (node.row, *rest))
        refs: list[Expr] = []
        for name, part, order in zip(("matrix", "side"), (node.matrix, node.rhs), orders, strict=True):
            if isinstance(part, Ref) and part.index == order:
                refs.append(part)
                continue
            let = define(self.fresh(name), with_axes(part, order), axes=order)
            made.append(Assignment(let.name, let.axes, let.expr))
            refs.append(Ref(let.name, order, let.kind))
        return replace(node, matrix=refs[0], rhs=refs[1])


def inline_windows(recurrence: Recurrence) -> Recurrence:
    """Put neighbourhoods that have a name back into their uses, where `conv` can say them."""
    lets: list[Let] = []
    windows: dict[str, Let] = {}
    for let in recurrence.lets:
        let = replace(let, expr=inline(let.expr, windows))
        if let.temporary and isinstance(let.expr, Window):
            windows[let.name] = let
        else:
            lets.append(let)
    rest = map_exprs(replace(recurrence, lets=()), lambda expr: inline(expr, windows))
    return replace(rest, lets=tuple(lets)) if windows else recurrence


def clock(recurrence: Recurrence) -> str | None:
    """The state that is the step number, which the language counts by itself where it is read."""
    lets = {let.name: let for let in recurrence.lets}
    for state in recurrence.states:
        update = recurrence.update_of(state.name)
        if isinstance(update, Ref) and update.name in lets and lets[update.name].name != f"{state.name}_1":
            update = lets[update.name].expr
        if update == Binary("add", state.var.ref(), Const(1)) and state.start == Const(0) and not state.var.sizes:
            exprs = chain((let.expr for let in recurrence.lets), (item.expr for item in recurrence.outputs))
            if any(state.name in names(expr) for expr in exprs):
                return state.name
    return None


def fits(axes: tuple[Axis, ...], wanted: tuple[Axis, ...], named: bool) -> bool:
    """Whether a plain value has the wanted axes; a declared name takes distinct ones in any order."""
    distinct = len({axis.size for axis in wanted}) == len(wanted)
    return axes == wanted or (named and (not axes or (distinct and set(axes) == set(wanted))))


def is_plain(assignment: Assignment, named: bool) -> bool:
    """Whether an assignment needs no index names; `named` if the axes of the name have been declared."""
    try:
        return fits(plain_axes(assignment.expr), assignment.axes, named)
    except NotPlain:
        return False


def with_axes(expr: Expr, axes: tuple[Axis, ...]) -> Expr:
    """The expression with axes that it is constant along."""
    for axis in axes:
        if axis in expr.axes:
            continue
        if expr.kind == "bool":
            expr = Binary("and", expr, Binary("ge", Arange(axis), Const(0)))
        else:
            expr = binary("add", expr, mul(Const(0), Arange(axis)))
    return expr


def _spread_window(node: Window) -> Expr:
    """A neighbourhood as a sum over the whole axis, of which one term is not zero."""
    source = fresh_axis(node.axis)
    place = Binary("sub", Binary("add", Arange(node.axis), Arange(node.tap)), _half(node.tap))
    value = substitute(node.x, {node.axis: source})
    return Reduce("sum", Where(_at(source, place, node), value, Const(0)), (source,))


def _spread_fold(node: Fold) -> Expr:
    source, tap = fresh_axis(node.axis), fresh_axis(node.tap)
    place = Binary("add", Binary("sub", Arange(node.axis), Arange(tap)), _half(node.tap))
    value = substitute(node.x, {node.axis: source, node.tap: tap})
    return Reduce("sum", Where(_at(source, place, node), value, Const(0)), (source, tap))


def _at(source: Axis, place: Expr, node: Window | Fold) -> Expr:
    around = Binary("mod", place, _extent(node.axis)) if node.wrap else place
    return Binary("eq", Arange(source), around)


def _half(tap: Axis) -> Expr:
    return Binary("floordiv", _extent(tap), Const(2))


def _extent(axis: Axis) -> Expr:
    return Const(axis.size) if isinstance(axis.size, int) else SizeOf(axis.size)
