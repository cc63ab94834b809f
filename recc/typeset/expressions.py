"""Expressions of the syntax tree as LaTeX.

What a product looks like depends on how many axes its sides have, so ranks are followed as far as they can be read off
the declarations; a name of unknown rank is taken for one without axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from recc.frontend import syntax
from recc.ir.primitives import FUNCTIONS, NORMALISATIONS, REDUCTION_FUNCTIONS
from recc.typeset.names import escape, name

# How tightly an expression binds, from the loosest.
CHOICE, LOGIC, ORDER, SUM, PRODUCT, SIGN, POWER, ATOM = range(8)
RELATIONS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge", "==": "=", "!=": r"\ne"}
SYMBOLS = {"sigmoid": r"\sigma", "relu": r"\text{ReLU}"}
OPERATORS = {"exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "max", "min"}


@dataclass
class Typesetter:
    """Prints expressions; `ranks` has the number of axes of each name so far."""

    ranks: dict[str, int] = field(default_factory=dict)

    def text(self, expr: syntax.Expr, least: int = CHOICE) -> str:
        """The expression, in brackets if it binds less tightly than `least`."""
        text, binding = self._printed(expr)
        return text if binding >= least else bracketed(text)

    def rank(self, expr: syntax.Expr) -> int:
        """The number of axes of an expression, as far as it shows."""
        match expr:
            case syntax.Name():
                return self.ranks.get(expr.id, 0)
            case syntax.Index():
                return max(0, self.rank(expr.base) - len(expr.items))
            case syntax.Unary():
                return self.rank(expr.operand)
            case syntax.Transpose():
                return self.rank(expr.base)
            case syntax.Binary(op="@"):
                return max(0, self.rank(expr.left) + self.rank(expr.right) - 2)
            case syntax.Binary() | syntax.Compare():
                return max(self.rank(expr.left), self.rank(expr.right))
            case syntax.Call():
                return self._rank_of_call(expr)
        return 0

    def _rank_of_call(self, call: syntax.Call) -> int:
        function = call.func.id
        inner = [self.rank(arg) for arg in call.args]
        if function == "outer":
            return sum(inner)
        if function in ("eye", "arange"):
            return 2 if function == "eye" else 1
        if function == "grad":
            return self.rank(call.args[-1])
        if function in REDUCTION_FUNCTIONS and len(call.args) == 1:
            axes = next((value for key, value in call.kwargs if key.id == "axis"), None)
            if axes is None:
                return 0
            return max(0, inner[0] - (len(axes.items) if isinstance(axes, syntax.Group) else 1))
        return max(inner, default=0)

    def _printed(self, expr: syntax.Expr) -> tuple[str, int]:
        match expr:
            case syntax.Name():
                return name(expr.id), ATOM
            case syntax.Number():
                return _number(expr)
            case syntax.Index():
                return self._index(expr), ATOM
            case syntax.Transpose():
                return raised(self.text(expr.base, ATOM), r"\top"), ATOM
            case syntax.Group():
                return bracketed(", ".join(map(self.text, expr.items))), ATOM
            case syntax.Unary(op="not"):
                return rf"\lnot {self.text(expr.operand, ATOM)}", LOGIC
            case syntax.Unary():
                return f"{expr.op}{self.text(expr.operand, SIGN)}", SIGN
            case syntax.Compare():
                return f"{self.text(expr.left, SUM)} {RELATIONS[expr.op]} {self.text(expr.right, SUM)}", ORDER
            case syntax.Binary():
                return self._binary(expr)
            case syntax.Call():
                return self._call(expr)

    def _index(self, expr: syntax.Index) -> str:
        base = self.text(expr.base, ATOM)
        return f"{f'{{{base}}}' if len(base) > 1 else base}_{{{', '.join(map(self.text, expr.items))}}}"

    def _binary(self, expr: syntax.Binary) -> tuple[str, int]:
        left, right = expr.left, expr.right
        match expr.op:
            case "+" | "-":
                least = SUM if expr.op == "+" else PRODUCT
                return f"{self.text(left, SUM)} {expr.op} {self.text(right, least)}", SUM
            case "*":
                sign = r" \odot " if self.rank(left) and self.rank(right) else r"\, "
                return f"{self.text(left, PRODUCT)}{sign}{self.text(right, PRODUCT)}", PRODUCT
            case "@":
                vector = self.rank(left) == 1
                row = raised(self.text(left, ATOM), r"\top") if vector else self.text(left, PRODUCT)
                return f"{row} {self.text(right, SIGN)}", PRODUCT
            case "/":
                return rf"\frac{{{self.text(left)}}}{{{self.text(right)}}}", POWER
            case "//":
                return rf"\left\lfloor \frac{{{self.text(left)}}}{{{self.text(right)}}} \right\rfloor", ATOM
            case "%":
                return rf"{self.text(left, PRODUCT)} \bmod {self.text(right, SIGN)}", PRODUCT
            case "**":
                return raised(self.text(left, ATOM), self.text(right)), POWER
        sign = r"\land" if expr.op == "and" else r"\lor"
        return f"{self.text(left, LOGIC)} {sign} {self.text(right, LOGIC)}", LOGIC

    def _call(self, call: syntax.Call) -> tuple[str, int]:
        function, args = call.func.id, call.args
        axis = next((value for key, value in call.kwargs if key.id == "axis"), None)
        if function in REDUCTION_FUNCTIONS and len(args) == 1:
            return self._reduction(function, args[0], axis)
        if function in FORMS and len(args) in FORMS[function][0]:
            return FORMS[function][1](self, args, call)
        head = self._function(function, axis if function in NORMALISATIONS else None)
        return head + bracketed(", ".join(map(self.text, args))), ATOM

    def _function(self, function: str, axis: syntax.Expr | None) -> str:
        if function in OPERATORS:
            return f"\\{function}"
        head = SYMBOLS.get(function) or (rf"\text{{{escape(function)}}}" if function in FUNCTIONS else name(function))
        return f"{head}_{{{self.text(axis)}}}" if axis is not None else head

    def _reduction(self, function: str, arg: syntax.Expr, axis: syntax.Expr | None) -> tuple[str, int]:
        over = "" if axis is None else f"_{{{', '.join(map(self.text, _axes(axis)))}}}"
        if function == "sum":
            return rf"\sum{over} {self.text(arg, PRODUCT)}", PRODUCT
        if function in ("norm", "sumsq"):
            power = "^{2}" if function == "sumsq" else ""
            return rf"\left\lVert {self.text(arg)} \right\rVert{over}{power}", ATOM
        head = f"\\{function}" if function in OPERATORS else rf"\operatorname{{{function}}}"
        return f"{head}{over}{bracketed(self.text(arg))}", ATOM


def bracketed(text: str) -> str:
    return rf"\left({text}\right)"


def raised(text: str, power: str) -> str:
    """A base with a superscript; one that has a superscript already is kept together."""
    closed = text.startswith(r"\left(") and text.endswith(r"\right)") and text.count(r"\left(") == 1
    return f"{{{text}}}^{{{power}}}" if "^" in text and not closed else f"{text}^{{{power}}}"


def _axes(axis: syntax.Expr) -> tuple[syntax.Expr, ...]:
    return axis.items if isinstance(axis, syntax.Group) else (axis,)


def _number(expr: syntax.Number) -> tuple[str, int]:
    if isinstance(expr.value, complex):
        return ("i" if expr.value == 1j else f"{expr.value.imag:g}\\,i"), ATOM
    digits, _, power = f"{expr.value!r}".partition("e")
    if not power:
        return digits, ATOM
    tens = f"10^{{{int(power)}}}"
    return (tens, POWER) if digits in ("1", "1.0") else (rf"{digits} \cdot {tens}", PRODUCT)


Arguments = tuple[syntax.Expr, ...]
Form = Callable[[Typesetter, Arguments, syntax.Call], tuple[str, int]]


def _exp(to: Typesetter, args: Arguments, call: syntax.Call) -> tuple[str, int]:
    return f"e^{{{to.text(args[0])}}}", POWER


def _outer(to: Typesetter, args: Arguments, call: syntax.Call) -> tuple[str, int]:
    transposed = raised(to.text(args[1], ATOM), r"\top")
    return rf"{to.text(args[0], SIGN)}\, {transposed}", PRODUCT


def _where(to: Typesetter, args: Arguments, call: syntax.Call) -> tuple[str, int]:
    test, taken, other = [to.text(arg) for arg in args]
    return rf"\begin{{cases}} {taken} & \text{{if }} {test} \\ {other} & \text{{otherwise}} \end{{cases}}", ATOM


def _before(to: Typesetter, args: Arguments, call: syntax.Call) -> tuple[str, int]:
    value, *rest = args
    lag = to.text(rest[0]) if rest else "1"
    return raised(to.text(value, ATOM), f"(t - {lag})"), ATOM


def _held(to: Typesetter, args: Arguments, call: syntax.Call) -> tuple[str, int]:
    every = next((to.text(value) for key, value in call.kwargs if key.id == "every"), "b")
    return raised(to.text(args[0], ATOM), rf"({every} \lfloor t / {every} \rfloor)"), ATOM


def _grad(to: Typesetter, args: Arguments, call: syntax.Call) -> tuple[str, int]:
    return rf"\nabla_{{{to.text(args[1])}}} \left[{to.text(args[0])}\right]", PRODUCT


def _around(left: str, right: str) -> Form:
    return lambda to, args, call: (f"{left}{to.text(args[0])}{right}", ATOM)


FORMS: dict[str, tuple[tuple[int, ...], Form]] = {
    "exp": ((1,), _exp),
    "sqrt": ((1,), _around(r"\sqrt{", "}")),
    "abs": ((1,), _around(r"\left|", r"\right|")),
    "conj": ((1,), _around(r"\overline{", "}")),
    "floor": ((1,), _around(r"\left\lfloor ", r"\right\rfloor")),
    "ceil": ((1,), _around(r"\left\lceil ", r"\right\rceil")),
    "real": ((1,), _around(r"\operatorname{Re}\left(", r"\right)")),
    "imag": ((1,), _around(r"\operatorname{Im}\left(", r"\right)")),
    "eye": ((1,), _around("I_{", "}")),
    "outer": ((2,), _outer),
    "where": ((3,), _where),
    "prev": ((1, 2, 3), _before),
    "hold": ((1,), _held),
    "grad": ((2,), _grad),
}
