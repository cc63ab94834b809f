"""From syntax to values: names, operators, indices. Calls are in `calls`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from recc.frontend import syntax
from recc.frontend.scope import Scope, Stop
from recc.frontend.values import AxisError, Value, contract, elementwise, positional, scalar, transpose
from recc.ir.build import unary
from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, SizeOf
from recc.ir.primitives import FUNCTIONS, NAMED_VALUES
from recc.ir.traverse import substitute

if TYPE_CHECKING:
    from recc.frontend.calls import Calls

OPERATORS = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow"}
RELATIONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
CONSTANT_HINT = "a number, a constant of the header, or a loop counter"


class Expressions:
    """Reads expressions in a scope."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.calls: Calls  # set by the reader of statements, which both need

    def value(self, node: syntax.Expr) -> Value:
        """The value of an expression. Raises: Stop; what is wrong with it has been reported."""
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
                return self._transpose(node, base)
            case syntax.Call():
                return self.calls.call(node)
            case syntax.Group():
                message = "a tuple stands only after `axis=` or where several names are assigned"
                self.scope.fail(
                    "E303", message, node.span, hint="`outer(x, y)`, `max(x, y)` and others join two values"
                )

    def every(self, reads: Iterable[Callable[[], Value]]) -> list[Value]:
        """All of several values, each looked at even if one before it is bad. Raises: Stop if any is."""
        found: list[Value] = []
        bad = False
        for read in reads:
            try:
                found.append(read())
            except Stop:
                bad = True
        if bad:
            raise Stop
        return found

    # --- what a value must be ---

    def number(self, node: syntax.Expr, what: str, hint: str = CONSTANT_HINT) -> int | float:
        """A constant that is known when compiling."""
        value = self.value(node)
        if not isinstance(value.expr, Const) or isinstance(value.expr.value, (bool, complex)):
            self.scope.fail("E304", f"{what} must be a constant", node.span, hint=hint)
        return value.expr.value

    def whole(self, node: syntax.Expr, what: str, least: int | None = 0, most: int | None = None) -> int:
        """A whole constant from `least` to `most`."""
        number = self.number(node, what)
        low, high = -math.inf if least is None else least, math.inf if most is None else most
        if not math.isfinite(number) or number != int(number) or not low <= number <= high:
            bounds = "" if least is None else f" from {least}" + ("" if most is None else f" to {most:,}")
            self.scope.fail("E304", f"{what} must be a whole number{bounds}, not {shown(number)}", node.span)
        return int(number)

    def real(self, value: Value, node: syntax.Expr, what: str) -> Value:
        """The value, which must be a real number: neither a truth value nor complex."""
        value = self.numeric(value, node, what)
        if value.kind == "complex":
            hint = "take `real`, `imag` or `abs` of it"
            self.scope.fail("E320", f"{what} is not defined for a complex value", node.span, hint=hint)
        return value

    def numeric(self, value: Value, node: syntax.Expr, what: str) -> Value:
        """The value, which must be a number: not a truth value."""
        if value.kind == "bool":
            self.needs_number(node, f"{what} needs a number")
        return value

    def needs_number(self, node: syntax.Node, what: str) -> NoReturn:
        """Refuse a condition where a number is needed."""
        text = node.span.text if len(node.span.text) < 40 else "condition"
        hint = f"`where({text}, 1, 0)` makes a number of it"
        self.scope.fail("E321", f"{what}, but this is a condition", node.span, hint=hint)

    def condition(self, node: syntax.Expr, what: str) -> Value:
        """The value of a condition."""
        value = self.value(node)
        if value.kind != "bool":
            text = node.span.text if isinstance(node, (syntax.Name, syntax.Call, syntax.Index)) else "x"
            hint = f"compare it, as in `{text} != 0`" if len(text) < 40 else "compare it"
            self.scope.fail("E321", f"{what} needs a condition, but this is a number", node.span, hint=hint)
        return value

    def fitting(self, build: Callable[[], Value], node: syntax.Expr, x: syntax.Expr, y: syntax.Expr) -> Value:
        """What `build` makes of two sides, whose axes must fit."""
        try:
            return build()
        except AxisError as error:
            self.scope.fit(error, node.span, _operand(x), _operand(y))

    # --- names and operators ---

    def _name(self, node: syntax.Name) -> Value:
        scope, name = self.scope, node.id
        if name in scope.indices:
            axis = scope.indices[name]
            return Value(Arange(axis, span=node.span), (axis,))
        if name in scope.bound:
            found = scope.lookup(node)
            return Value(_at(found.expr, node), found.axes)
        if name == scope.clock and name not in scope.constants and name not in scope.sizes:
            return self.calls.memory.clock(node)
        size = scope.size_of(name)
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

    def _transpose(self, node: syntax.Transpose, base: syntax.Expr) -> Value:
        x = self.value(base)
        return self.fitting(lambda: transpose(x), node, base, base)

    def _binary(self, node: syntax.Binary, op: str, left: syntax.Expr, right: syntax.Expr) -> Value:
        if op == "@":
            self._warn_unbracketed(left, right)
        what, check = f"`{op}`", self.real if op in ("//", "%") else self.numeric
        x, y = self.every(lambda side=side: check(self.value(side), side, what) for side in (left, right))
        if op == "@":
            return self.fitting(lambda: contract(x, y, node.span), node, left, right)
        result = self.fitting(lambda: elementwise(OPERATORS[op], x, y, node.span, what), node, left, right)
        if isinstance(x.expr, Const) and isinstance(y.expr, Const):
            self.check_constant(result.expr, node)
        return result

    def check_constant(self, folded: Expr, node: syntax.Expr) -> None:
        """Refuse an operation on constants without a value, such as a division by zero or an overflow."""
        value = folded.value if isinstance(folded, Const) else None
        if value is None or value != value:
            message = f"`{_short(node.span.text)}` has no value, or one that is too large"
            self.scope.fail("E304", message, node.span, hint="`inf` is infinity")

    def _warn_unbracketed(self, left: syntax.Expr, right: syntax.Expr) -> None:
        if isinstance(left, syntax.Binary) and left.op in ("*", "/", "//", "%") and not left.bracketed:
            whole, last = _short(left.span.text), f"{_short(left.right.span.text)} @ {_short(right.span.text)}"
            self.scope.findings.add(
                "W101",
                f"`{left.op}` and `@` bind alike, to the left: this contracts `{whole}`",
                left.span,
                hints=(f"write `({whole}) @ ...` if that is meant, or `({last})`",),
                severity="warning",
            )

    def _relation(self, node: syntax.Compare, op: str, left: syntax.Expr, right: syntax.Expr) -> Value:
        what, check = f"`{op}`", self.numeric if op in ("==", "!=") else self.real
        x, y = self.every(lambda side=side: check(self.value(side), side, what) for side in (left, right))
        return self.fitting(lambda: elementwise(RELATIONS[op], x, y, node.span, what), node, left, right)

    def _logical(self, node: syntax.Binary) -> Value:
        what, sides = f"`{node.op}`", (node.left, node.right)
        x, y = self.every(lambda side=side: self.condition(side, what) for side in sides)
        decides = node.op == "or"
        for side, other in ((x, y), (y, x)):
            if isinstance(side.expr, Const):
                return side if side.expr.value is decides else other
        axes = self.fitting(lambda: elementwise("eq", x, y, node.span, what), node, *sides).axes
        return Value(Binary(node.op, x.expr, y.expr, span=node.span), axes)

    # --- indices ---

    def _index(self, node: syntax.Index, base: syntax.Expr, items: tuple[syntax.Expr, ...]) -> Value:
        x = self.value(base)
        if len(items) > len(x.axes):
            places = f"{len(items)} place{'s are' if len(items) > 1 else ' is'} given"
            self.scope.fail("E315", f"{places}, but `{_short(base.span.text)}` is {x.describe()}", node.span)
        chosen = {axis: self.place(item, axis) for axis, item in zip(x.axes, items, strict=False)}
        axes = tuple(dict.fromkeys(new for axis in x.axes if isinstance(new := chosen.get(axis, axis), Axis)))
        return positional(Value(_at(substitute(x.expr, chosen), node), axes))

    def place(self, item: syntax.Expr, axis: Axis) -> Axis | int:
        """What a bracket holds at one place: an index of the equation, or a fixed position."""
        scope = self.scope
        if isinstance(item, syntax.Name) and self.is_new(item.id):
            return self.index(item, axis)
        if isinstance(item, syntax.Name) and item.id == scope.clock and item.id not in scope.bound:
            hint = "a name is its value in this step already, and `prev(...)` what it was in the one before"
            scope.fail(
                "E316", f"`{item.id}` is the step number and not a place along `{axis.size}`", item.span, hint=hint
            )
        what = f"a place along `{axis.size}`"
        position = self.number(item, what, f"{CONSTANT_HINT}; `sum(where(i == n, x[i], 0), axis=i)` reads place `n`")
        extent = axis.size if isinstance(axis.size, int) else scope.constants.get(str(axis.size))
        if not math.isfinite(position) or position != int(position) or position < 0:
            last = "" if extent is None else f", up to {shown(extent - 1)}"
            message = f"{what} must be a whole number from 0, not {shown(position)}"
            scope.fail("E316", message, item.span, hint=f"places count from 0{last}")
        if extent is not None and position >= extent:
            hint = f"places count from 0, so the last one is {shown(extent - 1)}"
            scope.fail("E316", f"there is no place {shown(position)} along `{axis.size}`", item.span, hint=hint)
        return int(position)

    def find_indices(self, node: object) -> None:
        """Give the index names in an expression their sizes before it is read: `d < D` may stand left of `z[d]`."""
        todo = [node]
        while todo:
            part = todo.pop()
            if isinstance(part, syntax.Index) and isinstance(part.base, syntax.Name):
                found = self.scope.bound.get(part.base.id)
                for item, axis in zip(part.items, found.axes if isinstance(found, Value) else (), strict=False):
                    if isinstance(item, syntax.Name) and self.is_new(item.id):
                        self.index(item, axis)
            parts = part if isinstance(part, tuple) else vars(part).values() if isinstance(part, syntax.Node) else ()
            todo += reversed([each for each in parts if isinstance(each, (tuple, syntax.Node))])

    def is_new(self, name: str) -> bool:
        """Whether a name in brackets can only be an index: it means nothing else here."""
        scope = self.scope
        if name in scope.indices:
            return True
        return not scope.is_known(name) and name != scope.clock and name not in NAMED_VALUES

    def index(self, item: syntax.Name, axis: Axis) -> Axis:
        """The index's axis, which every use in the equation must agree with."""
        scope = self.scope
        known = scope.indices.get(item.id)
        if known is None:
            if not item.id[0].islower():
                hint = scope.suggest(item.id, scope.known_names()) or "sizes are capitals, and are not indices"
                scope.fail("E317", f"an index is a new lower-case name, not `{item.id}`", item.span, hint=hint)
            known = scope.indices[item.id] = Axis(axis.size, item.id)
        if known.size != axis.size:
            message = (
                f"the index `{item.id}` runs over `{axis.size}` here, but over `{known.size}` in this equation before"
            )
            scope.fail("E318", message, item.span, hint="use another index name")
        return known


def shown(number: int | float) -> str:
    """A number as a message shows it: 3 rather than 3.0."""
    whole = math.isfinite(number) and number == int(number) and abs(number) < 1e15
    return str(int(number)) if whole else f"{float(number):g}" if abs(number) < 1e300 else "a huge number"


def _operand(node: syntax.Expr) -> str:
    """How an operand is written in another expression."""
    text = node.span.text
    return f"({text})" if isinstance(node, (syntax.Binary, syntax.Compare)) and text[:1] != "(" else text


def _short(text: str) -> str:
    return text if len(text) < 40 and "\n" not in text else "..."


def _at(expr: Expr, node: syntax.Expr) -> Expr:
    """The expression as it stands at a place of the text: a name's use, not its definition, is what a finding shows."""
    return replace(expr, span=node.span)
