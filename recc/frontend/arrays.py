"""Primitives that make or move axes: `outer`, `arange`, `eye`, `roll`, `conv`, `solve`."""

from __future__ import annotations

from recc.frontend.arguments import ONE, Arguments, is_true, spread
from recc.frontend.values import Value, joined, outer, positional, reduced
from recc.ir.build import ZERO, binary, equal_positions, where
from recc.ir.nodes import Arange, Axis, Roll, Solve, Window
from recc.ir.traverse import fresh_axis, substitute


def outer_product(call: Arguments) -> Value:
    x, y = call.values(2, complex_too=True)
    return call.fit(lambda: outer(x, y, call.node.span))


def arange(call: Arguments) -> Value:
    axis = call.axis_of_size()
    return Value(Arange(axis, span=call.node.span), (axis,))


def eye(call: Arguments) -> Value:
    axis = call.axis_of_size()
    other = Axis(axis.size, 1)
    return Value(where(equal_positions(axis, other), ONE, ZERO, span=call.node.span), (axis, other))


def roll(call: Arguments) -> Value:
    """`roll(h, n, axis=X)`: every element `n` places further, around the end."""
    call.count(2)
    given = call.keywords("axis")
    x = call.value(0, complex_too=True)
    shift = call.expressions.whole(call.node.args[1], "the number of places of `roll`", least=None)
    axis = call.only_axis(x, given.get("axis"))
    return Value(Roll(spread(x, axis).expr, axis, shift, span=call.node.span), x.axes)


def conv(call: Arguments) -> Value:
    """`conv(h, W, axis=X)` with `W[out, in, tap]`."""
    call.count(2)
    given = call.keywords("axis", "wrap")
    x, weight = call.every()
    wrap = is_true(given["wrap"]) if "wrap" in given else False
    if wrap is None:
        call.scope.fail("E331", "`wrap=` is True or False", given["wrap"].span)
    axis = call.only_axis(x, given.get("axis"))
    if len(weight.axes) != 3:
        message, hint = (
            f"`conv` needs weights `W[out, in, tap]`, not {weight.describe()}",
            "`W[C, C, 3]` has three taps",
        )
        call.scope.fail("E343", message, call.node.args[1].span, hint=hint)
    out, inner, tap = (fresh_axis(a) for a in weight.axes)
    channel = [a for a in x.axes if a.size == inner.size and a != axis]
    if len(channel) != 1:
        message = f"`conv` contracts the weights' second axis `{inner.size}`, but the value has {x.describe()}"
        hint = "the value needs that axis once, beside the one that `axis=` names"
        call.scope.fail("E343", message, call.node.span, hint=hint)
    window = Window(spread(x, axis).expr, axis, tap, wrap)
    taken = substitute(window, {channel[0]: inner})
    product = binary("mul", taken, substitute(weight.expr, dict(zip(weight.axes, (out, inner, tap), strict=True))))
    axes = tuple(out if a == channel[0] else a for a in x.axes)
    return reduced("sum", Value(product, (*axes, inner, tap)), (inner, tap), call.node.span)


def solve(call: Arguments) -> Value:
    """`solve(A, b)`: the `y` with `A @ y = b`."""
    matrix, rhs = call.values(2, complex_too=True)
    scope, (matrix_at, rhs_at) = call.scope, call.node.args
    if len(matrix.axes) < 2:
        hint = "`A[K, K]` is one; `b / a` solves for each place by itself"
        scope.fail("E344", f"`solve` needs a matrix, not {matrix.describe()}", matrix_at.span, hint=hint)
    first, last = matrix.axes[-2:]
    if first.size != last.size:
        scope.fail("E344", f"`solve` needs a square matrix, not {matrix.describe()}", matrix_at.span)
    places = [a for a in rhs.axes if a.size == first.size]
    if not places:
        message = f"`solve` needs a right side with the axis `{first.size}`, not {rhs.describe()}"
        scope.fail("E344", message, rhs_at.span, hint=f"as in `b[{first.size}]`")
    others = Value(ONE, matrix.axes[:-2]), Value(ONE, tuple(a for a in rhs.axes if a != places[0]))
    call.fit(lambda: Value(ONE, joined(*others, "`solve`")))
    row, col = fresh_axis(first), fresh_axis(last)
    left = substitute(matrix.expr, {first: row, last: col})
    right = substitute(spread(rhs, places[0]).expr, {places[0]: row})
    axes = tuple(a for a in matrix.axes[:-2] if a not in rhs.axes) + tuple(
        col if a == places[0] else a for a in rhs.axes
    )
    return positional(Value(Solve(left, right, row, col, span=call.node.span), axes))
