"""Complex values as pairs of real ones: C compilers vectorise these, and kernels need no second kind of number."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recc.ir.build import ONE, ZERO, add, binary, div, is_const, mul, neg, sub, unary, where
from recc.ir.nodes import Binary, Const, Expr, Let, Output, Recurrence, Reduce, Ref, Solve, State, Unary, Var, Where
from recc.ir.traverse import children, nodes, rebuild
from recc.passes.tidy import Namer, flatten, used_names

Pair = tuple[Expr, Expr]
LARGEST_POWER = 8


@dataclass(frozen=True)
class RealParts:
    """A recurrence without complex values, and the names that stand for each of the original's variables."""

    recurrence: Recurrence
    names: dict[str, tuple[str, ...]]


def real_parts(recurrence: Recurrence) -> RealParts:
    """`h = lam * h + u` with complex values as two equations for `h_re` and `h_im`.

    Raises: `NotImplementedError` for a complex system of equations, and for a complex power that is not a small whole
    number."""
    results = (*recurrence.outputs, *recurrence.totals)
    known = {item.name: (item.name,) for item in results} | {var.name: (var.name,) for var in recurrence.variables}
    if not _has_complex(recurrence):
        return RealParts(recurrence, known)
    flat = flatten(recurrence)
    namer = Namer(used_names(flat))
    complex_names = [var.name for var in flat.variables if var.complex] + [x.name for x in results if x.var.complex]
    complex_names += [let.name for let in flat.lets if let.kind == "complex"]
    pairs = {name: (namer(f"{name}_re"), namer(f"{name}_im")) for name in dict.fromkeys(complex_names)}
    split = _Split(pairs)
    lets: list[Let] = []
    for let in flat.lets:
        lets += split.let(let)
    states: list[State] = []
    updates: list[Expr] = []
    for state, update in zip(flat.states, flat.updates, strict=True):
        both = split.parts(update) if state.var.complex else (split.real(update),)
        updates += both
        states += [State(var, ZERO) for var in split.var(state.var)]
    real = replace(
        flat,
        inputs=tuple(part for var in flat.inputs for part in split.var(var)),
        params=tuple(part for var in flat.params for part in split.var(var)),
        states=tuple(states),
        lets=tuple(lets),
        updates=tuple(updates),
        outputs=tuple(part for item in flat.outputs for part in split.output(item)),
        totals=tuple(part for item in flat.totals for part in split.output(item)),
    )
    return RealParts(real, known | {name: pairs[name] for name in known if name in pairs})


def _has_complex(recurrence: Recurrence) -> bool:
    exprs = [let.expr for let in recurrence.lets] + [*recurrence.updates]
    exprs += [item.expr for item in (*recurrence.outputs, *recurrence.totals)]
    return any(var.complex for var in recurrence.variables) or any(
        node.kind == "complex" for expr in exprs for node in nodes(expr)
    )


class _Split:
    def __init__(self, pairs: dict[str, tuple[str, str]]):
        self._pairs = pairs

    def var(self, var: Var) -> tuple[Var, ...]:
        if not var.complex:
            return (var,)
        return tuple(replace(var, name=name, complex=False) for name in self._pairs[var.name])

    def let(self, let: Let) -> list[Let]:
        if let.kind != "complex":
            return [replace(let, expr=self.real(let.expr))]
        both = zip(self._pairs[let.name], self.parts(let.expr), strict=True)
        return [replace(let, name=name, expr=expr) for name, expr in both]

    def output(self, item: Output) -> list[Output]:
        if not item.var.complex:
            return [replace(item, expr=self.real(item.expr))]
        return [
            Output(var, expr) for var, expr in zip(self.var(item.var), self.parts(item.expr), strict=True)
        ]  # fmt: skip

    def real(self, expr: Expr) -> Expr:
        """A real expression, whose parts may be complex."""
        match expr:
            case Unary("real", x):
                return self.parts(x)[0]
            case Unary("imag", x):
                return self.parts(x)[1]
            case Unary("abs", x) if x.kind == "complex":
                return _magnitude(*self.parts(x))
            case Binary("eq" | "ne" as op, x, y) if "complex" in (x.kind, y.kind):
                (a, b), (c, d) = self.parts(x), self.parts(y)
                joined = "and" if op == "eq" else "or"
                return Binary(joined, Binary(op, a, c), Binary(op, b, d), span=expr.span)
            case _:
                return rebuild(expr, tuple(self.real(part) for part in children(expr)))

    def parts(self, expr: Expr) -> Pair:
        """The real and the imaginary part of an expression."""
        if expr.kind != "complex":
            return self.real(expr), ZERO
        match expr:
            case Const(value):
                value = complex(value)
                return Const(value.real), Const(value.imag)
            case Ref(name):
                re, im = self._pairs[name]
                return replace(expr, name=re, kind="real"), replace(expr, name=im, kind="real")
            case Unary(op, x):
                return _unary(op, self.parts(x))
            case Binary(op, x, y):
                return self._binary(op, x, y)
            case Where(test, x, y):
                chosen = self.real(test)
                (a, b), (c, d) = self.parts(x), self.parts(y)
                return where(chosen, a, c), where(chosen, b, d)
            case Reduce("sum", x, over):
                return tuple(_summed(part, over) for part in self.parts(x))  # pyright: ignore[reportReturnType]
            case Solve():
                raise NotImplementedError("a complex system of equations")
            case _:
                re, im = self.parts(children(expr)[0])
                return rebuild(expr, (re,)), rebuild(expr, (im,))

    def _binary(self, op: str, x: Expr, y: Expr) -> Pair:
        (a, b), (c, d) = self.parts(x), self.parts(y)
        match op:
            case "add" | "sub":
                return _binary(op, a, c), _binary(op, b, d)
            case "mul":
                return _product((a, b), (c, d))
            case "div" if y.kind != "complex":
                return div(a, c), div(b, c)
            case "div":
                size = add(mul(c, c), mul(d, d))
                re, im = _product((a, b), (c, neg(d)))
                return div(re, size), div(im, size)
            case "pow" if isinstance(y, Const) and isinstance(y.value, (int, float)) and _is_small(y.value):
                return _power((a, b), int(y.value))
            case _:
                raise NotImplementedError(f"the complex operation {op}")


def _is_small(value: float) -> bool:
    return value == int(value) and 0 <= value <= LARGEST_POWER


def _summed(x: Expr, over) -> Expr:
    return x if is_const(x, 0) else Reduce("sum", x, over)


def _binary(op: str, x: Expr, y: Expr) -> Expr:
    return binary(op, x, y)


def _times(x: Expr, y: Expr) -> Expr:
    """A product in which an imaginary part that is not there stays away, as in arithmetic with real numbers."""
    return ZERO if is_const(x, 0) or is_const(y, 0) else mul(x, y)


def _product(x: Pair, y: Pair) -> Pair:
    (a, b), (c, d) = x, y
    return sub(_times(a, c), _times(b, d)), add(_times(a, d), _times(b, c))


def _power(x: Pair, count: int) -> Pair:
    result: Pair = (ONE, ZERO)
    for _ in range(count):
        result = _product(result, x)
    return result


def _magnitude(x: Expr, y: Expr) -> Expr:
    """`hypot`: the larger part times a root, so that squares do not overflow."""
    a, b = unary("abs", x), unary("abs", y)
    large, small = Binary("max", a, b), Binary("min", a, b)
    ratio = where(Binary("eq", large, ZERO), ZERO, div(small, large))
    return mul(large, unary("sqrt", add(ONE, mul(ratio, ratio))))


def _unary(op: str, x: Pair) -> Pair:
    a, b = x
    match op:
        case "neg":
            return neg(a), neg(b)
        case "conj":
            return a, neg(b)
        case "exp":
            size = unary("exp", a)
            return mul(size, unary("cos", b)), mul(size, unary("sin", b))
        case "sin":
            return mul(unary("sin", a), unary("cosh", b)), mul(unary("cos", a), unary("sinh", b))
        case "cos":
            return mul(unary("cos", a), unary("cosh", b)), neg(mul(unary("sin", a), unary("sinh", b)))
        case "tanh":
            t, s = unary("tanh", a), unary("tan", b)
            size = add(ONE, mul(mul(t, s), mul(t, s)))
            return div(mul(t, add(ONE, mul(s, s))), size), div(mul(s, sub(ONE, mul(t, t))), size)
        case "sqrt":
            size = _magnitude(a, b)
            half = unary("sqrt", mul(Const(0.5), add(size, unary("abs", a))))
            other = where(Binary("eq", half, ZERO), ZERO, div(unary("abs", b), mul(Const(2), half)))
            right = Binary("ge", a, ZERO)
            side = where(Binary("lt", b, ZERO), Const(-1), ONE)
            return where(right, half, other), mul(side, where(right, other, half))
        case _:
            raise NotImplementedError(f"the complex operation {op}")
