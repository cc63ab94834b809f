"""From syntax to values: names, operators, indices. Calls are in `calls`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recc.frontend import syntax
from recc.frontend.scope import Scope
from recc.frontend.values import AxisError, Value, contract, elementwise, positional, scalar, transpose
from recc.ir.build import unary
from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, SizeOf
from recc.ir.primitives import FUNCTIONS, NAMED_VALUES
from recc.ir.traverse import substitute

if TYPE_CHECKING:
    from recc.frontend.calls import Calls

OPERATORS = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow"}
RELATIONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


class Expressions:
    """Reads expressions in a scope."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.calls: Calls  # set by the reader of statements, which both need

    def value(self, node: syntax.Expr) -> Value:
        """The value of an expression; what is wrong with it is reported."""
        match node:
            case syntax.Number(value):
                return scalar(Const(value, span=node.span))
            case syntax.Name():
                return self._name(node)
            case syntax.Unary(op, operand):
                return self._unary(node, op, operand)
            case syntax.Binary(op, left, right):
                return self._logical(node) if op in ("and", "or") else self._binary(node, op, left, right)
            case syntax.Compare(op, left, right):
                return self._relation(node, op, left, right)
            case syntax.Index(base, items):
                return self._index(node, base, items)
            case syntax.Transpose(base):
                return self._fitting(lambda: transpose(self.value(base)), node)
            case syntax.Call():
                return self.calls.call(node)
            case syntax.Group():
                self.scope.fail("E303", "a tuple stands only after `axis=` or where several names are assigned", node.span)

    def number(self, node: syntax.Expr, what: str) -> int | float:
        """A constant that is known when compiling."""
        value = self.value(node)
        if not isinstance(value.expr, Const) or isinstance(value.expr.value, (bool, complex)):
            self.scope.fail("E304", f"{what} must be a constant", node.span, hint="a number, a constant of the header, or a loop counter")
        return value.expr.value

    def whole(self, node: syntax.Expr, what: str, least: int = 0) -> int:
        """A whole constant, not less than `least`."""
        number = self.number(node, what)
        if number != int(number) or number < least:
            self.scope.fail("E304", f"{what} must be a whole number, {least} or more, not {number}", node.span)
        return int(number)

    def real(self, value: Value, node: syntax.Expr, what: str) -> Value:
        """The value, which must be a real number: neither a truth value nor complex."""
        if value.kind == "bool":
            self._needs_number(node, what)
        if value.kind == "complex":
            self.scope.fail("E320", f"{what} is not defined for a complex value", node.span, hint="take `real`, `imag` or `abs` of it")
        return value

    def numeric(self, value: Value, node: syntax.Expr, what: str) -> Value:
        if value.kind == "bool":
            self._needs_number(node, what)
        return value

    def condition(self, node: syntax.Expr, what: str) -> Value:
        value = self.value(node)
        if value.kind != "bool":
            self.scope.fail("E321", f"{what} needs a condition, but this is a number", node.span, hint="compare it, as in `x != 0`")
        return value

    def _needs_number(self, node: syntax.Expr, what: str):
        hint = "`where(condition, 1, 0)` makes a number of it"
        self.scope.fail("E321", f"{what} needs a number, but this is a condition", node.span, hint=hint)

    def _fitting(self, build, node: syntax.Expr) -> Value:
        try:
            return build()
        except AxisError as error:
            self.scope.fit(error, node.span)

    def _name(self, node: syntax.Name) -> Value:
        scope, name = self.scope, node.id
        if name in scope.indices:
            axis = scope.indices[name]
            return Value(Arange(axis, span=node.span), (axis,))
        if name in scope.bound:
            found = scope.lookup(node)
            return Value(_at(found.expr, node), found.axes)
        if name == scope.clock and name not in scope.constants and name not in scope.sizes:
            return self.calls.memory.clock()
        size = scope.renamed.get(name, name)
        if isinstance(size, int):
            return scalar(Const(size, span=node.span))
        if size in scope.constants:
            return scalar(Const(scope.constants[size], span=node.span))
        if size in scope.sizes:
            return scalar(SizeOf(size, span=node.span))
        if name in NAMED_VALUES:
            return scalar(Const(NAMED_VALUES[name], span=node.span))
        if name in FUNCTIONS or name in scope.defs:
            scope.fail("E302", f"`{name}` is a function and must be called", node.span, hint=f"`{name}(...)`")
        return scope.lookup(node)

    def _unary(self, node: syntax.Unary, op: str, operand: syntax.Expr) -> Value:
        if op == "not":
            x = self.condition(operand, "`not`")
            return Value(unary("not", x.expr, span=node.span), x.axes)
        x = self.numeric(self.value(operand), operand, f"`{op}`")
        return x if op == "+" else Value(unary("neg", x.expr, span=node.span), x.axes)

    def _binary(self, node: syntax.Binary, op: str, left: syntax.Expr, right: syntax.Expr) -> Value:
        x = self.numeric(self.value(left), left, f"`{op}`")
        y = self.numeric(self.value(right), right, f"`{op}`")
        if op == "@":
            self._warn_unbracketed(left)
            return self._fitting(lambda: contract(x, y, node.span), node)
        if op in ("//", "%"):
            self.real(x, left, f"`{op}`")
            self.real(y, right, f"`{op}`")
        return self._fitting(lambda: elementwise(OPERATORS[op], x, y, node.span, f"`{op}`"), node)

    def _warn_unbracketed(self, left: syntax.Expr) -> None:
        if isinstance(left, syntax.Binary) and left.op in ("*", "/", "//", "%") and not left.bracketed:
            whole = left.span.text
            self.scope.findings.add(
                "W101",
                f"`{left.op}` and `@` bind alike, to the left: this contracts `{whole}`",
                left.span,
                hints=(f"write `({whole}) @ ...` if that is meant",),
                severity="warning",
            )

    def _relation(self, node: syntax.Compare, op: str, left: syntax.Expr, right: syntax.Expr) -> Value:
        x, y = self.value(left), self.value(right)
        order = op not in ("==", "!=")
        for side, at in ((x, left), (y, right)):
            self.real(side, at, f"`{op}`") if order else self.numeric(side, at, f"`{op}`")
        return self._fitting(lambda: elementwise(RELATIONS[op], x, y, node.span, f"`{op}`"), node)

    def _logical(self, node: syntax.Binary) -> Value:
        x = self.condition(node.left, f"`{node.op}`")
        y = self.condition(node.right, f"`{node.op}`")
        decides = node.op == "or"
        for side, other in ((x, y), (y, x)):
            if isinstance(side.expr, Const):
                return side if side.expr.value is decides else other
        return self._fitting(
            lambda: Value(
                Binary(node.op, x.expr, y.expr, span=node.span),
                elementwise("eq", x, y, node.span, f"`{node.op}`").axes,
            ),
            node,
        )

    def _index(self, node: syntax.Index, base: syntax.Expr, items: tuple[syntax.Expr, ...]) -> Value:
        x = self.value(base)
        if len(items) > len(x.axes):
            self.scope.fail("E315", f"{len(items)} places are given, but there is {x.describe()}", node.span)
        chosen = {axis: self.place(item, axis) for axis, item in zip(x.axes, items, strict=False)}
        axes = tuple(dict.fromkeys(new for axis in x.axes if isinstance(new := chosen.get(axis, axis), Axis)))
        return positional(Value(_at(substitute(x.expr, chosen), node), axes))

    def place(self, item: syntax.Expr, axis: Axis) -> Axis | int:
        """What a bracket holds at one place: an index of the equation, or a fixed position."""
        scope = self.scope
        if isinstance(item, syntax.Name) and self.is_new(item.id):
            return self.index(item, axis)
        where_ = f"a place along `{axis.size}`"
        position = self.number(item, where_)
        extent = axis.size if isinstance(axis.size, int) else scope.constants.get(str(axis.size))
        if position != int(position) or position < 0:
            hint = "count from 0; the last place of an axis of known size `n` is `n - 1`"
            scope.fail("E316", f"{where_} must be a whole number from 0, not {position}", item.span, hint=hint)
        if extent is not None and position >= extent:
            scope.fail("E316", f"place {position} is outside of the axis, which has the size {extent}", item.span)
        return int(position)

    def find_indices(self, node: object) -> None:
        """Give the index names in an expression their sizes before it is read: `d < D` may stand left of `z[d]`."""
        if isinstance(node, syntax.Index) and isinstance(node.base, syntax.Name):
            found = self.scope.bound.get(node.base.id)
            if isinstance(found, Value):
                for item, axis in zip(node.items, found.axes, strict=False):
                    if isinstance(item, syntax.Name) and self.is_new(item.id):
                        self.index(item, axis)
        if isinstance(node, tuple):
            parts = node
        else:
            parts = tuple(vars(node).values()) if isinstance(node, syntax.Node) else ()
        for part in parts:
            if isinstance(part, (tuple, syntax.Node)):
                self.find_indices(part)

    def is_new(self, name: str) -> bool:
        """Whether a name in brackets can only be an index: it means nothing else here."""
        scope = self.scope
        return name in scope.indices or not (
            name in scope.bound or name in scope.constants or name in scope.sizes or name in scope.renamed
        )

    def index(self, item: syntax.Name, axis: Axis) -> Axis:
        """The index's axis, which every use in the equation must agree with."""
        scope = self.scope
        known = scope.indices.get(item.id)
        if known is None:
            if not item.id[0].islower():
                hint = scope.suggest(item.id, scope.known_names()) or "capitals are sizes"
                scope.fail("E317", f"an index is a new lower-case name, not `{item.id}`", item.span, hint=hint)
            known = scope.indices[item.id] = Axis(axis.size, item.id)
        if known.size != axis.size:
            message = f"the index `{item.id}` runs over `{known.size}` elsewhere in this equation, but over `{axis.size}` here"
            scope.fail("E318", message, item.span, hint="use another index name")
        return known


def _at(expr: Expr, node: syntax.Expr) -> Expr:
    """The expression as it stands at a place of the text: a name's use, not its definition, is what a finding shows."""
    return replace(expr, span=node.span)

