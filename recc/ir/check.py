"""The invariants of the IR: what every pass may rely on, and must keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from recc.ir.nodes import (
    COMPARISONS,
    LOGICAL,
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Kind,
    Let,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    Size,
    SizeOf,
    Solve,
    Unary,
    Var,
    Where,
    Window,
    formal,
)
from recc.ir.primitives import BINARY, COMPLEX_UNARY, REDUCTIONS, UNARY
from recc.ir.traverse import bound_axes, children

COMPLEX_BINARY = frozenset({"add", "sub", "mul", "div", "pow"})


def check(recurrence: Recurrence) -> list[str]:
    """The invariants that a recurrence violates, one sentence each; none for a sound one.

    `check(Recurrence("r", outputs=(Output(Var("y"), Ref("x")),)))` is ["output `y`: `x` is read before it is defined"].
    """
    return _Checker(recurrence).check()


class _Checker:
    def __init__(self, recurrence: Recurrence):
        self.recurrence = recurrence
        self.found: list[str] = []
        self.known: dict[str, Var | Let] = {}
        self.place = ""
        self.sizes = {size for var in recurrence.inputs + recurrence.params for size in var.sizes}
        self.sizes |= {name for name, _ in recurrence.sizes}

    def report(self, text: str) -> None:
        message = f"{self.place}: {text}" if self.place else text
        if message not in self.found:
            self.found.append(message)

    def check(self) -> list[str]:
        r = self.recurrence
        self.unique("name", [var.name for var in r.variables] + [let.name for let in r.lets])
        self.unique("output", [item.name for item in r.outputs + r.totals])
        if len(r.updates) != len(r.states):
            self.report(f"{len(r.states)} states but {len(r.updates)} updates")
        self.declarations()
        self.known = {var.name: var for var in r.variables}
        for let in r.lets:
            self.place = f"let `{let.name}`"
            if let.axes != formal(tuple(axis.size for axis in let.axes)):
                self.report("its axes are not numbered by occurrence of the size")
            self.root(let.expr, let.axes)
            self.known[let.name] = let
        for state, update in zip(r.states, r.updates, strict=False):
            self.value(f"update of `{state.name}`", update, state.var)
        for kind, items in (("output", r.outputs), ("total", r.totals)):
            for item in items:
                self.value(f"{kind} `{item.name}`", item.expr, item.var)
        for promise in r.promises:
            self.place = f"assert `{promise.text}`"
            self.expect(promise.test, "bool", "the test")
            self.root(promise.test, promise.test.axes)
        return self.found

    def unique(self, what: str, names: Iterable[str]) -> None:
        for name, number in Counter(names).items():
            if number > 1:
                self.report(f"the {what} `{name}` is defined {number} times")

    def declarations(self) -> None:
        """Starts and promised intervals, which read params alone."""
        r = self.recurrence
        self.known = {var.name: var for var in r.params}
        for var in (*r.variables, *(item.var for item in r.outputs + r.totals)):
            self.place = f"`{var.name}`"
            for size in var.sizes:
                self.size(size)
            for end in (var.interval.low, var.interval.high) if var.interval else ():
                if end is not None:
                    self.expect(end, "real", "a bound")
                    self.root(end, var.axes)
        for state in r.states:
            self.value(f"start of `{state.name}`", state.start, state.var)

    def value(self, place: str, expr: Expr, var: Var) -> None:
        """An expression that is given to a declared name."""
        self.place = place
        self.given(expr, var.axes, var)

    def root(self, expr: Expr, axes: tuple[Axis, ...]) -> None:
        """A whole expression over some of the given axes."""
        for axis in expr.axes:
            if axis not in axes:
                self.report(f"the axis {_shown(axis)} is neither bound nor an axis of the name")
        self.node(expr, frozenset(axes) | frozenset(expr.axes))

    def size(self, size: Size) -> None:
        if isinstance(size, str) and size not in self.sizes:
            self.report(f"the size `{size}` stands in no input or param")
        if isinstance(size, int) and size < 1:
            self.report(f"an axis of size {size}")

    def node(self, expr: Expr, scope: frozenset[Axis]) -> None:
        """One node and everything below it; `scope` holds the axes that mean something here."""
        own = bound_axes(expr)
        for axis in own:
            if axis in scope:
                self.report(f"the bound axis {_shown(axis)} is in use outside")
        if len(set(own)) < len(own):
            self.report("an axis is bound twice")
        match expr:
            case Const():
                pass
            case SizeOf(size):
                self.size(size)
            case Ref():
                self.ref(expr)
            case Arange(axis):
                self.size(axis.size)
            case Unary():
                self.unary(expr)
            case Binary():
                self.binary(expr)
            case Where(test, x, y):
                self.expect(test, "bool", "the condition of `where`")
                if (x.kind == "bool") != (y.kind == "bool"):
                    self.report(f"`where` chooses between a {x.kind} and a {y.kind} value")
            case Reduce():
                self.reduce(expr)
            case Roll() | Window() | Fold():
                self.neighbourhood(expr)
            case Solve():
                self.solve(expr)
            case Fixpoint():
                self.fixpoint(expr)
                return
        for part in children(expr):
            self.node(part, scope | frozenset(own))

    def expect(self, expr: Expr, kind: Kind, what: str) -> None:
        if expr.kind != kind:
            self.report(f"{what} is {expr.kind}, not {kind}")

    def numeric(self, expr: Expr, what: str) -> None:
        if expr.kind == "bool":
            self.report(f"{what} is bool, not a number")

    def ref(self, ref: Ref) -> None:
        if ref.name not in self.known:
            self.report(f"`{ref.name}` is read before it is defined")
            return
        target = self.known[ref.name]
        if len(ref.index) != len(target.axes):
            self.report(f"`{ref.name}` has {len(target.axes)} places, and is read with {len(ref.index)}")
        if ref.kind != target.kind:
            self.report(f"`{ref.name}` is {target.kind}, and is read as {ref.kind}")
        for item, axis in zip(ref.index, target.axes, strict=False):
            if isinstance(item, int):
                if item < 0 or (isinstance(axis.size, int) and item >= axis.size):
                    self.report(f"`{ref.name}` has no place {item} along `{axis.size}`")
            elif item.size != axis.size:
                self.report(f"`{ref.name}` is read along `{item.size}` where it has `{axis.size}`")

    def unary(self, node: Unary) -> None:
        if node.op not in UNARY:
            self.report(f"`{node.op}` is not an operation on one value")
        elif node.op == "not":
            self.expect(node.x, "bool", "the operand of `not`")
        else:
            self.numeric(node.x, f"the operand of `{node.op}`")
            if node.x.kind == "complex" and node.op not in COMPLEX_UNARY:
                self.report(f"`{node.op}` is not defined for complex values")

    def binary(self, node: Binary) -> None:
        for part in (node.x, node.y):
            if node.op not in BINARY:
                self.report(f"`{node.op}` is not an operation on two values")
            elif node.op in LOGICAL:
                self.expect(part, "bool", f"an operand of `{node.op}`")
            elif node.op in COMPARISONS:
                self.expect(part, "real", f"an operand of `{node.op}`")
            else:
                self.numeric(part, f"an operand of `{node.op}`")
                if part.kind == "complex" and node.op not in COMPLEX_BINARY:
                    self.report(f"`{node.op}` is not defined for complex values")

    def reduce(self, node: Reduce) -> None:
        if node.op not in REDUCTIONS:
            self.report(f"`{node.op}` is not a reduction")
        elif node.op == "any":
            self.expect(node.x, "bool", "the operand of `any`")
        else:
            self.numeric(node.x, f"the operand of `{node.op}`")
            if node.x.kind == "complex" and node.op != "sum":
                self.report(f"`{node.op}` is not defined for complex values")
        if not node.over:
            self.report(f"`{node.op}` over no axis")
        self.present(node.op, node.x, node.over)

    def present(self, op: str, expr: Expr, axes: Iterable[Axis]) -> None:
        for axis in axes:
            if axis not in expr.axes:
                self.report(f"`{op}` along {_shown(axis)}, which its operand does not have")

    def neighbourhood(self, node: Roll | Window | Fold) -> None:
        op = type(node).__name__.lower()
        self.present(op, node.x, (node.axis, node.tap) if isinstance(node, Fold) else (node.axis,))
        if isinstance(node, Window):
            self.size(node.tap.size)
            if node.tap in node.x.axes:
                self.report(f"the axis {_shown(node.tap)} that `window` adds is there already")
        if not isinstance(node, Roll):
            self.numeric(node.x, f"the operand of `{op}`")
            if node.axis == node.tap:
                self.report(f"`{op}` has one axis {_shown(node.axis)} for both of its own")

    def solve(self, node: Solve) -> None:
        self.present("solve", node.matrix, (node.row, node.col))
        for part in (node.matrix, node.rhs):
            self.numeric(part, "an operand of `solve`")
        if node.row == node.col or node.row.size != node.col.size:
            self.report(f"`solve` needs two axes of one size, not {_shown(node.row)} and {_shown(node.col)}")
        if node.col in node.rhs.axes:
            self.report(f"the right side of `solve` has the axis {_shown(node.col)} of its result")

    def fixpoint(self, node: Fixpoint) -> None:
        """A fixed point: its step is a scope of its own, and what it is given has axes of its own."""
        own = node.unknown
        self.unique("name in a fixed point", [own.name, *(let.name for let in (*node.given, *node.lets))])
        if tuple(axis.size for axis in node.index) != own.sizes or len(set(node.index)) < len(node.index):
            self.report(f"the fixed point `{own.name}` is read along other axes than its own")
        if not (node.tolerance > 0 and node.rounds >= 1):
            self.report(f"the fixed point `{own.name}` needs a positive tolerance, and a round at least")
        self.given(node.start, own.axes, own)
        for let in node.given:
            self.root(let.expr, let.axes)
        outside = self.known
        self.known = {own.name: own, **{let.name: let for let in node.given}}
        for let in node.lets:
            self.root(let.expr, let.axes)
            self.known[let.name] = let
        self.given(node.result, own.axes, own)
        self.known = outside

    def given(self, expr: Expr, axes: tuple[Axis, ...], var: Var) -> None:
        if expr.kind == "bool" or (expr.kind == "complex" and not var.complex):
            self.report(f"a {expr.kind} value is given to a {var.kind} name")
        self.root(expr, axes)


def _shown(axis: Axis) -> str:
    return f"`{axis.size}`" if axis.tag == 0 else f"`{axis.size}`({axis.tag})"
