"""Values while a spec is read: an expression with its axes in order, and the rules by which axes meet.

The rules are those of the language: elementwise operations match axes by name, `@` contracts, what would have to
guess which of two equal sizes is meant is an error. An axis with a string tag is an index of the present equation."""

from __future__ import annotations

from dataclasses import dataclass

from recc.diagnostics import Span
from recc.ir.build import binary, total, unary
from recc.ir.nodes import Axis, Const, Expr, Kind, Reduce, formal
from recc.ir.traverse import fresh_axis, substitute


class AxisError(Exception):
    """Axes that do not fit: what is wrong, and the way out, in which `{x}` and `{y}` stand for the two sides."""

    def __init__(self, code: str, message: str, hint: str = ""):
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


@dataclass(frozen=True)
class Value:
    """An expression and its axes in the order in which they are written."""

    expr: Expr
    axes: tuple[Axis, ...] = ()

    @property
    def kind(self) -> Kind:
        return self.expr.kind

    @property
    def sizes(self) -> tuple:
        return tuple(axis.size for axis in self.axes)

    def describe(self) -> str:
        """`[K, V]`, or `a scalar`."""
        return f"[{', '.join(axis_name(axis) for axis in self.axes)}]" if self.axes else "a scalar"


def axis_name(axis: Axis) -> str:
    return str(axis.tag) if is_index(axis) else str(axis.size)


def is_index(axis: Axis) -> bool:
    """Whether the axis is an index name of the equation."""
    return isinstance(axis.tag, str) and not axis.tag.startswith("#")


def scalar(expr: Expr) -> Value:
    return Value(expr, ())


def positional(value: Value) -> Value:
    """Name the axes by their positions again: the first of a size is 0, the second 1; indices keep their names."""
    plain = tuple(axis for axis in value.axes if not is_index(axis))
    own = dict(zip(plain, formal(tuple(axis.size for axis in plain)), strict=True))
    axes = tuple(own.get(axis, axis) for axis in value.axes)
    return Value(substitute(value.expr, dict(own)), axes)


def joined(x: Value, y: Value, what: str) -> tuple[Axis, ...]:
    """The axes of an elementwise operation: one side's plain axes contain the other's; indices meet freely."""
    plain_x, plain_y = _plain(x), _plain(y)
    for axis in (*plain_x, *plain_y):
        sides = [sum(other.size == axis.size for other in side) for side in (plain_x, plain_y)]
        if max(sides) > 1 and min(sides) > 0 and sides[0] != sides[1]:
            raise AxisError(
                "E310",
                f"{what} would have to guess: `{axis.size}` is twice on one side, in {x.describe()} and {y.describe()}",
                "say which axis is meant with index names, as in `y[i, j] = U[i, j] * x[i]`",
            )
    if not (set(plain_x) <= set(plain_y) or set(plain_y) <= set(plain_x)):
        raise AxisError(
            "E311",
            f"{what} needs the axes of one side to contain the other's, but they are {x.describe()} and {y.describe()}",
            "`outer({x}, {y})` multiplies all pairs; index names do any operation: `z[i, j] = x[i] - y[j]`",
        )
    if set(x.axes) <= set(y.axes):
        return y.axes
    return x.axes + tuple(axis for axis in y.axes if axis not in x.axes)


def _plain(value: Value) -> tuple[Axis, ...]:
    return tuple(axis for axis in value.axes if not is_index(axis))


def elementwise(op: str, x: Value, y: Value, span: Span, what: str) -> Value:
    """A binary operation, axes matched by name."""
    axes = joined(x, y, what)
    return Value(binary(op, x.expr, y.expr, span=span), axes)


def transpose(x: Value) -> Value:
    if len(x.axes) < 2:
        hint = "a vector is neither a row nor a column: `x @ y` sums products, `outer(x, y)` makes all pairs"
        raise AxisError("E312", f"`.T` swaps the last two axes, but this is {x.describe()}", hint)
    return positional(Value(x.expr, (*x.axes[:-2], x.axes[-1], x.axes[-2])))


def contract(x: Value, y: Value, span: Span) -> Value:
    """`x @ y`: the last axis of `x` with the first axis of `y` of that name; axes of `y` before it match by name."""
    if not x.axes or not y.axes:
        message = f"`@` needs an axis on both sides, but they are {x.describe()} and {y.describe()}"
        raise AxisError("E313", message, "`{x} * {y}` multiplies by a scalar")
    last = x.axes[-1]
    place = _place_of(last, y)
    if place is None:
        raise AxisError(
            "E313",
            f"`@` contracts the last axis of the left side, `{axis_name(last)}`, but the right side has {y.describe()}",
            _contract_hint(x, y),
        )
    bound = fresh_axis(last)
    rest = x.axes[:-1]
    before = {axis: _match(axis, rest, y.axes[:place]) for axis in y.axes[:place]}
    after = {axis: fresh_axis(axis) for axis in y.axes[place + 1 :] if not is_index(axis)}
    right = substitute(y.expr, {**before, **after, y.axes[place]: bound})
    product = binary("mul", substitute(x.expr, {last: bound}), right, span=span)
    summed = total(product, (bound,))
    leading = tuple(before[axis] for axis in y.axes[:place])
    order = leading if set(rest) <= set(leading) else rest + tuple(axis for axis in leading if axis not in rest)
    following = tuple(after.get(axis, axis) for axis in y.axes[place + 1 :])
    order += tuple(axis for axis in following if axis not in order)
    if isinstance(summed, Reduce):
        summed = Reduce("sum", summed.x, summed.over, span=span)
    return positional(Value(summed, order))


def _place_of(axis: Axis, y: Value) -> int | None:
    if axis in y.axes and is_index(axis):
        return y.axes.index(axis)
    places = [i for i, other in enumerate(y.axes) if other.size == axis.size and not is_index(other)]
    return places[0] if places and not is_index(axis) else None


def _contract_hint(x: Value, y: Value) -> str:
    if _place_of(y.axes[-1], x) is not None:
        return "`{y} @ {x}` contracts an axis that both have"
    return "`outer({x}, {y})` multiplies all pairs; `*` multiplies elementwise"


def _match(axis: Axis, rest: tuple[Axis, ...], before: tuple[Axis, ...]) -> Axis:
    """The left side's axis that an axis of the right side, before the contracted one, stands for."""
    if is_index(axis):
        return axis
    same = [other for other in rest if other.size == axis.size and not is_index(other)]
    if len(same) > 1 or (same and sum(other.size == axis.size for other in before) > 1):
        raise AxisError(
            "E310",
            f"`@` would have to guess which axis of size `{axis.size}` is meant",
            "say it with index names, as in `y[n, i] = sum(A[n, i, j] * h[n, j], axis=j)`",
        )
    return same[0] if same else fresh_axis(axis)


def outer(x: Value, y: Value, span: Span) -> Value:
    """The last axes multiply as all pairs; the others are matched by name."""
    if not x.axes or not y.axes:
        message = f"`outer` needs an axis on both sides, but they are {x.describe()} and {y.describe()}"
        raise AxisError("E314", message, "`{x} * {y}` multiplies by a scalar")
    last_x, last_y = fresh_axis(x.axes[-1]), fresh_axis(y.axes[-1])
    left = Value(substitute(x.expr, {x.axes[-1]: last_x}), x.axes[:-1])
    right = Value(substitute(y.expr, {y.axes[-1]: last_y}), y.axes[:-1])
    shared = joined(left, right, "`outer`")
    return positional(Value(binary("mul", left.expr, right.expr, span=span), (*shared, last_x, last_y)))


def reduced(op: str, x: Value, over: tuple[Axis, ...], span: Span) -> Value:
    """A reduction over some of a value's axes."""
    return positional(in_place(op, x, over, span))


def in_place(op: str, x: Value, over: tuple[Axis, ...], span: Span) -> Value:
    """A reduction whose other axes keep their names, so that it meets `x` again; `x` may be constant along some."""
    present = tuple(axis for axis in over if axis in x.expr.axes)
    expr = Reduce(op, x.expr, present, span=span) if present else x.expr
    if op in ("sum", "logsumexp") and len(present) < len(over):
        count = total(Const(1), tuple(axis for axis in over if axis not in present))
        expr = binary("mul", count, expr) if op == "sum" else binary("add", expr, unary("log", count))
    return Value(expr, tuple(axis for axis in x.axes if axis not in over))
