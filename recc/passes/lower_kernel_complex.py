"""Complex values as pairs of real ones: C compilers vectorise these, and kernels need no second kind of number."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recc.ir.build import ZERO, is_const, where
from recc.ir.nodes import Binary, Const, Expr, Let, Output, Recurrence, Reduce, Ref, State, Unary, Var, Where
from recc.ir.traverse import children, nodes, rebuild
from recc.passes.lower_kernel_pairs import Pair, combined, function, magnitude
from recc.passes.tidy import Namer, flatten, used_names


@dataclass(frozen=True)
class RealParts:
    """A recurrence without complex values, and the names that stand for each of the original's variables, and for each
    of its outputs and totals, of which one may be called as a variable is."""

    recurrence: Recurrence
    names: dict[str, tuple[str, ...]]
    results: dict[str, tuple[str, ...]]


def real_parts(recurrence: Recurrence) -> RealParts:
    """`h = lam * h + u` with complex values as two equations for `h_re` and `h_im`.

    Complex systems of equations and fixed points are no definitions here: see `take_out`."""
    results = (*recurrence.outputs, *recurrence.totals)
    known = {var.name: (var.name,) for var in recurrence.variables}
    made: dict[str, tuple[str, ...]] = {item.name: (item.name,) for item in results}
    if not _has_complex(recurrence):
        return RealParts(recurrence, known, made)
    flat = flatten(recurrence)
    namer = Namer(used_names(flat))
    complex_results = [item.name for item in results if item.var.complex]
    complex_names = [var.name for var in flat.variables if var.complex] + complex_results
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
    known |= {var.name: pairs[var.name] for var in flat.variables if var.complex}
    return RealParts(real, known, made | {name: pairs[name] for name in complex_results})


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
                return magnitude(*self.parts(x))
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
                return function(op, self.parts(x))
            case Binary(op, x, y):
                return combined(op, self.parts(x), self.parts(y))
            case Where(test, x, y):
                chosen = self.real(test)
                (a, b), (c, d) = self.parts(x), self.parts(y)
                return where(chosen, a, c), where(chosen, b, d)
            case Reduce("sum", x, over):
                return tuple(_summed(part, over) for part in self.parts(x))  # pyright: ignore[reportReturnType]
            case _:
                re, im = self.parts(children(expr)[0])
                return rebuild(expr, (re,)), rebuild(expr, (im,))


def _summed(x: Expr, over) -> Expr:
    return x if is_const(x, 0) else Reduce("sum", x, over)
