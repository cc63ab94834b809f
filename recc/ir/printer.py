"""A recurrence as a spec: text that the front end reads back to an equal recurrence."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain

from recc.ir.assignments import Assignment, Plan, clock, fits, is_plain, with_axes
from recc.ir.nodes import (
    Axis,
    Const,
    Expr,
    Fixpoint,
    Interval,
    Output,
    Promise,
    Recurrence,
    Ref,
    Solve,
    State,
    Var,
)
from recc.ir.notation import IndexWriter, NotPlain, Writer, number, plain_axes, show_expr
from recc.ir.primitives import FUNCTIONS, NAMED_VALUES
from recc.ir.traverse import bound_axes, nodes

__all__ = ["show", "show_expr"]

LONGEST_LINE = 100


def show(recurrence: Recurrence) -> str:
    """The text of a recurrence as it would stand in a `.rec` file, without a newline at the end.

    `Recurrence("sum", (Var("x"),), (), (State(Var("h"), Const(0)),), (), (add(h, x),), ...)` gives

        recurrence sum:
            input  x
            state  h
            h = h + x
            output h

    States that only `prev` and `hold` need are declared like others. Totals are comments.

    Raises `ValueError` for what the language has no form of: an output with the name of a state that is not the state's
    new value, a start that needs index names, a system with another axis of its own size."""
    return _Page(recurrence).text()


class _Page:
    def __init__(self, recurrence: Recurrence):
        r = self.recurrence = recurrence
        variables = r.variables + tuple(item.var for item in r.outputs)
        self.sizes = {size for var in variables for size in var.sizes if isinstance(size, str)}
        self.constants = {name for name, _ in r.constants}
        self.taken = {var.name for var in variables} | {let.name for let in r.lets} | set(NAMED_VALUES) | {"t"}
        self.taken |= self.constants | self.sizes
        loops = [let.expr for let in r.lets if isinstance(let.expr, Fixpoint)]
        self.taken |= {let.name for loop in loops for let in loop.lets}
        self.clock = clock(r)
        self.states = tuple(state for state in r.states if state.name != self.clock)
        self.plan = Plan(r, self.states, self.taken)

    def text(self) -> str:
        r = self.recurrence
        equations = self.plan.assignments()
        inline = self.inline_outputs(equations)
        lines = [self.header(), *self.doc(), *self.declarations()]
        if not inline:
            lines += _declared("output", [self.output_head(item) for item in r.outputs])
        lines += [self.promise(promise) for promise in r.promises]
        lines += ["    " + line for equation in equations for line in self.lines(equation, inline)]
        if inline:
            lines += [f"    output {item.name}" for item in r.outputs if item.name in r.state_names]
        lines += [f"    # total {_head(item.var)} = {show_expr(item.expr)}" for item in r.totals]
        return "\n".join(lines)

    # --- the head ---

    def header(self) -> str:
        constants = ", ".join(f"{name}={number(value)[0]}" for name, value in self.recurrence.constants)
        over = f" over {self.clock}" if self.clock not in (None, "t") else ""
        return f"recurrence {self.recurrence.name}{f'({constants})' if constants else ''}{over}:"

    def doc(self) -> list[str]:
        doc = self.recurrence.doc.replace('"""', "'''")
        return [f'    """{doc}"""'] if doc else []

    def declarations(self) -> list[str]:
        r = self.recurrence
        lines = _declared("input ", [_head(var) + _range(var.interval) for var in r.inputs])
        lines += _declared("param ", [_head(var) + _range(var.interval) for var in r.params])
        return lines + _declared("state ", [_head(state.var) + _start(state) for state in self.states])

    def output_head(self, item: Output) -> str:
        return item.name if item.name in self.recurrence.state_names else _head(item.var)

    def promise(self, promise: Promise) -> str:
        """The user's words where they still mean the same here, else the test itself, or a comment."""
        r = self.recurrence
        words = set(re.findall(r"[A-Za-z_]\w*", promise.text))
        known = {var.name for var in r.inputs + r.params} | self.constants | self.sizes
        rebound = {name for name in words for let in r.lets if re.fullmatch(rf"{name}_\d+", let.name)}
        if promise.text and words <= known | FUNCTIONS | {"axis", "and", "or", "not"} and not rebound:
            return f"    assert {promise.text}"
        try:
            plain_axes(promise.test)
        except NotPlain:
            return f"    # assert {show_expr(promise.test)}"
        return f"    assert {show_expr(promise.test)}"

    # --- one line ---

    def inline_outputs(self, equations: list[Assignment]) -> bool:
        """Whether every output can be declared where it is computed, and that is their order."""
        written = [e.output.name for e in equations if e.output is not None and is_plain(e, True)]
        at_end = [item.name for item in self.recurrence.outputs if item.name in self.recurrence.state_names]
        return written + at_end == [item.name for item in self.recurrence.outputs]

    def lines(self, equation: Assignment, inline: bool) -> list[str]:
        """An equation; a fixed point is a loop around those of its step."""
        node = equation.expr
        if not isinstance(node, Fixpoint):
            return [self.equation(equation, inline)]
        outside = self.plan.surface
        head = f"for {equation.name} in {Writer(outside).text(node)}:"
        handed = {let.name: let.expr.name for let in node.given if isinstance(let.expr, Ref)}
        inside = {name: outside.get(other, other) for name, other in handed.items()}
        self.plan.surface = {**outside, **inside, node.unknown.name: equation.name}
        steps = [Assignment(let.name, let.axes, let.expr) for let in node.lets]
        steps.append(Assignment(equation.name, node.unknown.axes, node.result))
        body = [self.equation(legal, False) for step in steps for legal in self.plan.legal(step)]
        self.plan.surface = outside
        return [head, *(f"    {line}" for line in body)]

    def equation(self, equation: Assignment, inline: bool) -> str:
        name, item = equation.name, equation.output
        declared = item is not None or name in self.recurrence.state_names
        if not declared and not is_plain(equation, declared):
            equation = replace(equation, expr=with_axes(equation.expr, equation.axes))
        if is_plain(equation, declared):
            head = f"output {self.output_head(item)}" if inline and item is not None else name
            return f"{head} = {Writer(self.plan.surface).text(equation.expr)}"
        expr, axes = equation.expr, equation.axes
        indices = self.indices(axes, expr)
        known = {place for node in nodes(expr) if isinstance(node, Ref) for place in node.axes}
        text = IndexWriter(self.plan.surface, indices, frozenset(known.union(axes if declared else ()))).text(expr)
        if isinstance(expr, Solve):
            text += f"[{', '.join(indices[axis] for axis in (expr.col, *expr.rhs.axes[1:]))}]"
        return f"{name}[{', '.join(indices[axis] for axis in axes)}] = {text}" if axes else f"{name} = {text}"

    def indices(self, axes: tuple[Axis, ...], expr: Expr) -> dict[Axis, str]:
        """A new lower-case name for every axis of an equation: `k` for an axis of size `K` if that is free."""
        used: dict[Axis, str] = {}
        inner = chain.from_iterable((*bound_axes(node), *node.axes) for node in nodes(expr))
        for axis in dict.fromkeys((*axes, *inner)):
            wanted = str(axis.size).lower()
            letters = [wanted] if len(wanted) == 1 and wanted.isalpha() else []
            letters += list("ijklmnpqruvwabcdefgh") + [f"i{number_}" for number_ in range(len(used) + len(self.taken))]
            used[axis] = next(name for name in letters if name not in self.taken and name not in used.values())
        return used


def _declared(kind: str, items: list[str]) -> list[str]:
    """Declarations of one kind, as many on a line as fit."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(item) + 2 <= LONGEST_LINE:
            lines[-1] += f", {item}"
        else:
            lines.append(f"    {kind} {item}")
    return lines


def _head(var: Var) -> str:
    sizes = f"[{', '.join(map(str, var.sizes))}]" if var.sizes else ""
    return f"{var.name}{sizes}{': complex' if var.complex else ''}"


def _range(interval: Interval | None) -> str:
    match interval:
        case None | Interval(None, None):
            return ""
        case Interval(None, Const() as high, _, strict):
            return f" {'<' if strict else '<='} {show_expr(high)}"
        case Interval(Const() as low, None, strict):
            return f" {'>' if strict else '>='} {show_expr(low)}"
        case Interval(low, high, low_open, high_open):
            ends = ", ".join("" if end is None else show_expr(end) for end in (low, high))
            return f" in {'(' if low_open else '['}{ends}{')' if high_open else ']'}"


def _start(state: State) -> str:
    if state.start == Const(0):
        return ""
    try:
        axes = plain_axes(state.start)
    except NotPlain:
        axes = None
    if axes is None or (axes and not fits(axes, state.var.axes, named=True)):
        raise ValueError(f"the start of `{state.name}` needs index names, which a declaration cannot have")
    return f" = {show_expr(state.start)}"
