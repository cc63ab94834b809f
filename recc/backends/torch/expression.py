"""Expressions as PyTorch text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from recc.backends.torch.layout import (
    ATOM,
    BIT_AND,
    BIT_OR,
    COMPARE,
    POWER,
    PRODUCT,
    SIGN,
    SUM,
    Text,
)
from recc.backends.torch.products import Products
from recc.ir.build import is_const
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Reduce,
    Ref,
    Roll,
    SizeOf,
    Solve,
    Unary,
    Where,
    Window,
)

OPERATORS = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "mod": ("%", PRODUCT),
    "floordiv": ("//", PRODUCT),
    "pow": ("**", POWER),
    "and": ("&", BIT_AND),
    "or": ("|", BIT_OR),
    "lt": ("<", COMPARE),
    "le": ("<=", COMPARE),
    "gt": (">", COMPARE),
    "ge": (">=", COMPARE),
    "eq": ("==", COMPARE),
    "ne": ("!=", COMPARE),
}
FUNCTIONS = {
    **{
        op: f"torch.{op}"
        for op in ("exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh")
    },
    **{op: f"torch.{op}" for op in ("atan", "erf", "sigmoid", "relu", "abs", "sign", "floor", "ceil", "round")},
    "logsigmoid": "torch.nn.functional.logsigmoid",
    "ctz": "count_trailing_zeros",
}
CLAMPS = {"max": "min", "min": "max"}


@dataclass(kw_only=True)
class Printer(Products):
    """Prints expressions over variables whose Python names `name_of` gives; notes which helpers and sizes it used."""

    name_of: Callable[[str], str]
    helpers: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    needs_like: bool = False
    solved: Callable[[Printer, Fixpoint], Text] | None = None

    def aligned(self, expr: Expr, axes: tuple[Axis, ...], binds: int = 0) -> str:
        """An expression's code with exactly these axes, size 1 along those that it is constant along."""
        return self.placed(self.text(expr), axes).at(binds)

    def tensor(self, expr: Expr, axes: tuple[Axis, ...]) -> str:
        """`aligned`, also for what is a Python number."""
        return self._tensor(self.text(expr), axes)

    def text(self, expr: Expr) -> Text:
        """An expression's code, in whatever order of axes comes naturally."""
        return replace(self._text(expr), complex=expr.kind == "complex")

    def _text(self, expr: Expr) -> Text:
        match expr:
            case Const(value):
                return _number(value)
            case SizeOf(size):
                return self.size(size)
            case Ref():
                return self._ref(expr)
            case Arange(axis):
                return self._arange(axis)
            case Unary(op, x):
                return self._unary(op, self.text(x), x)
            case Binary(op, x, y):
                return self._binary(op, x, y)
            case Where(test, x, y):
                return self._where(expr, test, x, y)
            case Reduce(op, x, over):
                return self._reduce(op, x, over)
            case _:
                return self._structured(expr)

    def _ref(self, ref: Ref) -> Text:
        code = self.name_of(ref.name)
        if ref.name in self.numbers:
            return Text(code, number=True)
        if any(isinstance(item, int) for item in ref.index):
            places = ", ".join(str(item) if isinstance(item, int) else ":" for item in ref.index)
            code = f"{code}[..., {places}]"
        index = [item for item in ref.index if isinstance(item, Axis)]
        while len(set(index)) < len(index):
            twice = next(axis for axis in index if index.count(axis) > 1)
            first, second = (place for place, axis in enumerate(index) if axis == twice)
            code = f"{code}.diagonal(dim1={first - len(index)}, dim2={second - len(index)})"
            index = [axis for axis in index if axis != twice] + [twice]
        return Text(code, tuple(index))

    def _arange(self, axis: Axis) -> Text:
        self.needs_like = True
        return Text(f"torch.arange({self.size(axis.size).code}, dtype=like.dtype, device=like.device)", (axis,))

    # --- operations ---

    def _unary(self, op: str, x: Text, node: Expr) -> Text:
        if op == "ctz":
            self.helpers.add("count_trailing_zeros")
        match op:
            case "neg":
                return Text(f"-{x.at(SIGN)}", x.axes, SIGN, x.number)
            case "not":
                return Text(f"~{x.at(SIGN)}", x.axes, SIGN)
            case "real" | "imag":
                return Text(f"{x.at(ATOM)}.{op}", x.axes, number=x.number)
            case "conj" if x.number:
                return Text(f"{x.at(ATOM)}.conjugate()", number=True)
            case "conj":  # a lazy one is resolved again in each product
                return Text(f"{x.at(ATOM)}.conj().resolve_conj()", x.axes)
            case "softplus" if not x.number:
                # torch's own threshold of 20 costs digits of float64
                return Text(f"torch.nn.functional.softplus({x.code}, threshold=40.0)", x.axes)
            case _ if x.number:
                return Text(self._number_function(op, x, node), number=True)
        return Text(f"{FUNCTIONS[op]}({x.code})", x.axes)

    def _number_function(self, op: str, x: Text, operand: Expr) -> str:
        """A function of a Python number, as a Python number."""
        name = FUNCTIONS.get(op, f"torch.nn.functional.{op}")
        if operand.kind == "complex":
            return f"{name}(torch.tensor({x.code}, dtype=torch.complex128)).item()"
        simple = {"exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "atan", "erf"}
        if op in simple | {"floor", "ceil"}:
            return f"math.{op}({x.code})"
        return f"float({name}(torch.tensor({x.at(ATOM)}, dtype=torch.float64)))"

    def _binary(self, op: str, x: Expr, y: Expr) -> Text:
        node = Binary(op, x, y)
        left, right = self.text(x), self.text(y)
        if op in ("max", "min", "logaddexp"):
            return self._extremum(node, op, left, right)
        if op == "floordiv":  # constant in pieces, but torch has no derivative for it
            left, right = (
                t if t.number else replace(t, code=f"{t.at(ATOM)}.detach()", binds=ATOM) for t in (left, right)
            )
        symbol, binds = OPERATORS[op]
        number = left.number and right.number
        axes = self.order(node.axes)
        if op == "add":
            fused = self._fused(x, y, axes)
            if fused is not None:
                return fused
        first = self.placed(left, axes).at(binds + (op == "pow" or binds == COMPARE))
        regroups = op in ("add", "mul", "and", "or", "pow") and not ("//" in right.code or "%" in right.code)
        second = self.placed(right, axes).at(binds + (not regroups))
        between = f"{first}**{second}" if op == "pow" else f"{first} {symbol} {second}"
        return Text(between, axes, binds, number)

    def _fused(self, x: Expr, y: Expr, axes: tuple[Axis, ...]) -> Text | None:
        """`torch.addcmul` for a sum with a product of full size: one pass over memory instead of two."""
        for product, other in ((x, y), (y, x)):
            if not (
                isinstance(product, Binary) and product.op == "mul" and product.axes and other.kind == product.kind
            ):
                continue
            factors = [self.text(product.x), self.text(product.y)]
            rest = self.text(other)
            whole = self.order(product.axes) == axes and all(text.axes for text in factors)
            if whole and not rest.number and len({f.complex for f in factors} | {rest.complex}) == 1:
                parts = [self.placed(text, axes).code for text in (rest, *factors)]
                return Text(f"torch.addcmul({', '.join(parts)})", axes)
        return None

    def _extremum(self, node: Binary, op: str, left: Text, right: Text) -> Text:
        if left.number and right.number:
            return Text(f"{op}({left.code}, {right.code})", number=True)
        axes = self.order(node.axes)
        if op != "logaddexp" and (left.number or right.number):
            tensor, number = (right, left) if left.number else (left, right)
            return Text(f"{self.placed(tensor, axes).at(ATOM)}.clamp({CLAMPS[op]}={number.code})", axes)
        name = {"max": "torch.maximum", "min": "torch.minimum", "logaddexp": "torch.logaddexp"}[op]
        return Text(f"{name}({self._tensor(left, axes)}, {self._tensor(right, axes)})", axes)

    def _tensor(self, text: Text, axes: tuple[Axis, ...]) -> str:
        if not text.number:
            return self.placed(text, axes).code
        self.needs_like = True
        return f"like.new_full((), {text.code})"

    def _where(self, node: Where, test: Expr, x: Expr, y: Expr) -> Text:
        identity = self._identity(test, x, y)
        if identity is not None:
            return identity
        chosen, left, right = self.text(test), self.text(x), self.text(y)
        if chosen.number and left.number and right.number:
            return Text(f"({left.code} if {chosen.code} else {right.code})", number=True)
        if chosen.number:
            self.needs_like = True
            chosen = Text(f"torch.tensor({chosen.code}, device=like.device)")
        axes = self.order(node.axes)
        condition = self.placed(chosen, axes)
        if left.number and right.number:
            return self._choice_of_numbers(condition, left, right)
        if left.complex != right.complex:  # torch.where promotes, but its derivative does not
            left, right = (side if side.number else self.as_complex(side) for side in (left, right))
        sides = [self.placed(side, axes).code for side in (left, right)]
        return Text(f"torch.where({condition.code}, {sides[0]}, {sides[1]})", axes)

    def _identity(self, test: Expr, x: Expr, y: Expr) -> Text | None:
        """An identity matrix has a name of its own."""
        if not (isinstance(test, Binary) and test.op == "eq" and is_const(x, 1) and is_const(y, 0)):
            return None
        row, col = test.x, test.y
        if not (isinstance(row, Arange) and isinstance(col, Arange) and row.axis.size == col.axis.size):
            return None
        self.needs_like = True
        size = self.size(row.axis.size).code
        return Text(f"torch.eye({size}, dtype=like.dtype, device=like.device)", (row.axis, col.axis))

    def _choice_of_numbers(self, condition: Text, left: Text, right: Text) -> Text:
        self.needs_like = True
        if right.code == "0" and left.code in ("1", "0.5"):
            code = f"{condition.at(ATOM)}.to(like.dtype)"
            return Text(code, condition.axes) if left.code == "1" else Text(f"0.5 * {code}", condition.axes, PRODUCT)
        return Text(f"torch.where({condition.code}, {self._tensor(left, ())}, {right.code})", condition.axes)

    # --- reductions ---

    def _reduce(self, op: str, x: Expr, over: tuple[Axis, ...]) -> Text:
        if op == "sum" and isinstance(x, Binary) and x.op in ("add", "sub") and _splits(x, over):
            return self._binary(x.op, Reduce("sum", x.x, over), Reduce("sum", x.y, over))
        if op == "sum":
            factors = _factors(x)
            if len(factors) > 1:
                return self.contraction([self.text(factor) for factor in factors], over)
        text = self.text(x)
        return self.reduced(op, text, over)

    # --- structured operations ---

    def _structured(self, expr: Expr) -> Text:
        match expr:
            case Roll(x, axis, shift):
                text = self.text(x)
                return Text(f"{text.at(ATOM)}.roll({shift}, {self._place(text, axis)})", text.axes)
            case Window(x, axis, tap, wrap):
                self.helpers.add("windows")
                text = self.text(x)
                code = f"windows({text.code}, {self._place(text, axis)}, {self.size(tap.size).code}, wrap={wrap})"
                return Text(code, (*text.axes, tap))
            case Fold(x, axis, tap, wrap):
                self.helpers.add("fold_windows")
                text = self.text(x)
                rest = tuple(other for other in text.axes if other != tap)
                text = self.permuted(text, (*rest, tap))
                return Text(f"fold_windows({text.code}, {rest.index(axis) - len(rest)}, wrap={wrap})", rest)
            case Solve(matrix, rhs, row, col):
                return self._solve(expr, matrix, rhs, row, col)
            case Fixpoint() if self.solved is not None:
                return self.solved(self, expr)
            case _:
                raise AssertionError(f"no text for {type(expr).__name__}")

    @staticmethod
    def _place(text: Text, axis: Axis) -> int:
        return text.axes.index(axis) - len(text.axes)

    def _solve(self, node: Solve, matrix: Expr, rhs: Expr, row: Axis, col: Axis) -> Text:
        right_sides = tuple(axis for axis in rhs.axes if axis != row and axis not in matrix.axes)[-1:]
        batch = tuple(axis for axis in node.axes if axis != col and axis not in right_sides)
        sides = [self.text(matrix), self.text(rhs)]
        if sides[0].complex != sides[1].complex:
            sides = [self.as_complex(side) for side in sides]
        left = self.placed(sides[0], (*batch, row, col)).code
        if right_sides:  # one factorisation for all of them
            right = self.placed(sides[1], (*batch, row, *right_sides)).code
            return self.permuted(Text(f"torch.linalg.solve({left}, {right})", (*batch, col, *right_sides)), node.axes)
        right = self.placed(sides[1], (*batch, row)).at(ATOM)
        solved = Text(f"torch.linalg.solve({left}, {right}[..., None])[..., 0]", (*batch, col))
        return self.permuted(solved, node.axes)


def _splits(node: Binary, over: tuple[Axis, ...]) -> bool:
    """Whether a sum over a sum is better taken apart: both sides are products over all of the axes."""
    sides = (node.x, node.y)
    return all(isinstance(side, Binary) and side.op == "mul" and set(over) <= set(side.axes) for side in sides)


def _factors(expr: Expr) -> list[Expr]:
    """The factors of a product."""
    if isinstance(expr, Binary) and expr.op == "mul":
        return _factors(expr.x) + _factors(expr.y)
    return [expr]


def _number(value: complex) -> Text:
    if isinstance(value, bool):
        return Text(str(value), number=True)
    if isinstance(value, complex):
        return Text(repr(value), (), ATOM, True)
    if math.isinf(value) or math.isnan(value):
        return Text(
            f"{'-' if value < 0 else ''}math.{'nan' if math.isnan(value) else 'inf'}",
            (),
            ATOM if value > 0 else SIGN,
            True,
        )
    return Text(repr(value), (), ATOM if value >= 0 else SIGN, True)
