"""Primitives that act on every place, or along axes: `exp`, `max`, `sum`, `softmax`, `where` and their like."""

from __future__ import annotations

import math

from recc.frontend import syntax
from recc.frontend.arguments import HALF, ONE, TWO, Arguments
from recc.frontend.values import Value, elementwise, in_place, positional, reduced
from recc.ir.build import ZERO, binary, unary, where
from recc.ir.nodes import Const, Expr
from recc.ir.primitives import COMPLEX_UNARY

EPS = {"layernorm": 1e-5, "rmsnorm": 1e-6, "l2norm": 1e-12}


def apply(call: Arguments) -> Value:
    """A function of one value, such as `exp`."""
    name = call.name
    (x,) = call.values(1, complex_too=name in COMPLEX_UNARY)
    if name == "imag" and x.kind != "complex":
        return Value(binary("mul", ZERO, x.expr), x.axes)
    result = unary(name, x.expr, span=call.node.span)
    if isinstance(result, Const):
        call.expressions.check_constant(result, call.node)
    return Value(result, x.axes)


def extremum(call: Arguments) -> Value:
    """`max`, `min` or `logaddexp` of several values, place by place."""
    call.keywords()
    call.count(2, max(2, len(call.node.args)))
    result, *others = call.every()
    for other in others:
        result = call.fit(lambda x=result, y=other: elementwise(call.name, x, y, call.node.span, f"`{call.name}`"))
    return result


def reduction(call: Arguments) -> Value:
    """`sum`, `mean`, `norm` and their like, over all axes or those of `axis=`."""
    name, node = call.name, call.node
    call.count(1)
    given = call.keywords("axis")
    x = call.value(0, complex_too=name in ("sum", "mean", "norm", "sumsq"))
    over = call.axes(x, given.get("axis"))
    match name:
        case "mean":
            return positional(_mean(x, over, node))
        case "sumsq":
            return _sumsq(x, over, node)
        case "norm":
            square = call.named("squares", _sumsq(x, over, node))
            return Value(_safe_root(square.expr), square.axes)
        case _:
            return reduced(name, x, over, node.span)


def normalisation(call: Arguments) -> Value:
    """`softmax`, `layernorm`, `rmsnorm` or `l2norm` along one axis."""
    name, node = call.name, call.node
    words = ("axis",) if name == "softmax" else ("axis", "eps")
    call.count(1, len(words), hint="" if name == "softmax" else f"`{name}(x, axis=K, eps=1e-6)`")
    given = call.keywords(*words)
    x = call.named("value", call.value(0))
    axis = call.only_axis(x, given.get("axis"))
    if name == "softmax":
        lse = in_place("logsumexp", x, (axis,), node.span)
        return Value(unary("exp", binary("sub", x.expr, lse.expr), span=node.span), x.axes)
    eps_at = node.args[1] if len(node.args) > 1 else given.get("eps")
    eps = Const(EPS[name] if eps_at is None else call.expressions.number(eps_at, "`eps`"))
    if name == "layernorm":
        centred = binary("sub", x.expr, _mean(x, (axis,), node).expr)
        x = call.named("centred", Value(centred, x.axes))
    square = Value(binary("pow", x.expr, TWO), x.axes)
    if name == "l2norm":
        summed = call.named("squares", in_place("sum", square, (axis,), node.span))
        size = _safe_root(summed.expr)
        scale = binary("max", size, eps)
    else:
        scale = unary("sqrt", binary("add", _mean(square, (axis,), node).expr, eps))
    return Value(binary("div", x.expr, scale, span=node.span), x.axes)


def _mean(x: Value, over: tuple, node: syntax.Expr) -> Value:
    """The mean, with the names that the other axes have in `x`."""
    summed = in_place("sum", x, over, node.span)
    count = in_place("sum", Value(ONE, over), over, node.span)
    return Value(binary("div", summed.expr, count.expr, span=node.span), summed.axes)


def _sumsq(x: Value, over: tuple, node: syntax.Expr) -> Value:
    if x.kind == "complex":
        square = unary("real", binary("mul", x.expr, unary("conj", x.expr)))
    else:
        square = binary("pow", x.expr, TWO)
    return reduced("sum", Value(square, x.axes), over, node.span)


def _safe_root(square: Expr) -> Expr:
    """A square root whose derivative at zero is zero: the root is not taken there."""
    positive = binary("gt", square, ZERO)
    return where(positive, unary("sqrt", where(positive, square, ONE)), ZERO)


def _repeated(call: Arguments) -> Value:
    """The only argument, of which the result is made more than once."""
    (x,) = call.values(1)
    return call.named("value", x)


def silu(call: Arguments) -> Value:
    x = _repeated(call)
    return Value(binary("mul", x.expr, unary("sigmoid", x.expr), span=call.node.span), x.axes)


def elu(call: Arguments) -> Value:
    x = _repeated(call)
    return Value(where(binary("gt", x.expr, ZERO), x.expr, unary("expm1", x.expr), span=call.node.span), x.axes)


def gelu(call: Arguments) -> Value:
    x = _repeated(call)
    half = binary("mul", HALF, x.expr)
    share = binary("add", ONE, unary("erf", binary("mul", Const(math.sqrt(0.5)), x.expr)))
    return Value(binary("mul", half, share, span=call.node.span), x.axes)


def gelu_tanh(call: Arguments) -> Value:
    x = _repeated(call)
    cubic = binary("add", x.expr, binary("mul", Const(0.044715), binary("pow", x.expr, Const(3))))
    share = binary("add", ONE, unary("tanh", binary("mul", Const(math.sqrt(2 / math.pi)), cubic)))
    return Value(binary("mul", binary("mul", HALF, x.expr), share, span=call.node.span), x.axes)


def clamp(call: Arguments) -> Value:
    x, low, high = call.values(3)
    raised = call.fit(lambda: elementwise("max", x, low, call.node.span, "`clamp`"))
    return call.fit(lambda: elementwise("min", raised, high, call.node.span, "`clamp`"))


def choice(call: Arguments) -> Value:
    """`where(condition, x, y)`."""
    call.count(3)
    call.keywords()
    read, (test, *sides) = call.expressions, call.node.args
    condition, x, y = read.every(
        [lambda: read.condition(test, "`where`"), *(lambda side=side: read.value(side) for side in sides)]
    )
    return choose(call, condition, x, y)


def choose(call: Arguments, test: Value, x: Value, y: Value) -> Value:
    """`x` where the condition holds, else `y`, axes matched by name."""
    if (x.kind == "bool") != (y.kind == "bool"):
        hint = "compare the number, or make a number of the condition with `where(condition, 1, 0)`"
        call.scope.fail("E321", "one side is a condition and the other a number", call.node.span, hint=hint)
    return call.fit(lambda: chosen(test, x, y, call.node))


def chosen(test: Value, x: Value, y: Value, node: syntax.Node) -> Value:
    """A choice between two values of one kind. Raises: AxisError."""
    sides = elementwise("eq", x, y, node.span, "`where`")
    axes = elementwise("eq", sides, test, node.span, "`where`").axes
    return Value(where(test.expr, x.expr, y.expr, span=node.span), axes)
