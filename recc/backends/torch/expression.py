"""Expressions as PyTorch text.

Every value is a tensor whose leading dimensions (batch, time or tiles, lanes) broadcast, followed by its feature axes
in a known order; `Text` carries the code and that order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
    Size,
    SizeOf,
    Solve,
    Unary,
    Where,
    Window,
)

# Python precedences: a text is put in brackets where it stands under an operator that binds more tightly.
ATOM, POWER, SIGN, PRODUCT, SUM, BIT_AND, BIT_OR, COMPARE = 9, 8, 7, 6, 5, 4, 3, 2
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
REDUCTIONS = {"sum": "sum", "max": "amax", "min": "amin", "logsumexp": "logsumexp", "any": "any"}


@dataclass(frozen=True)
class Text:
    """Code, the axes of what it computes in order, how tightly it binds, and whether it is a Python number."""

    code: str
    axes: tuple[Axis, ...] = ()
    binds: int = ATOM
    number: bool = False
    complex: bool = False

    def at(self, binds: int) -> str:
        """The code, in brackets if it binds less tightly than what is around it."""
        return self.code if self.binds >= binds else f"({self.code})"


@dataclass
class Views:
    """Views of variables with dimensions inserted or swapped: code -> name. They are made once for all steps, because
    in a step such a view costs as much as arithmetic. `variables` are those that are there before the steps."""

    variables: set[str]
    taken: set[str]
    made: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)

    def name(self, variable: str, suffix: str, what: str) -> str:
        """The name of a view, made up if it is new."""
        code = variable + suffix
        if code not in self.made:
            name, number = f"{variable}_{what}", 1
            while name in self.taken:
                number += 1
                name = f"{variable}_{what}_{number}"
            self.taken.add(name)
            self.made[code], self.bases[code] = name, variable
        return self.made[code]


@dataclass
class Printer:
    """Prints expressions over variables whose Python names `name_of` gives; notes which helpers and sizes it used."""

    name_of: Callable[[str], str]
    sizes: dict[str, int]
    ranks: dict[Size, int] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    views: Views | None = None
    numbers: set[str] = field(default_factory=set)
    used_sizes: dict[str, None] = field(default_factory=dict)
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

    def size(self, size: Size) -> Text:
        if isinstance(size, str) and size not in self.sizes:
            self.used_sizes[size] = None
            return Text(size, number=True)
        return Text(str(self.sizes[size] if isinstance(size, str) else size), number=True)

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

    # --- axes ---

    def _order(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        """Axes in the order in which the recurrence's variables have them, so that few values need transposing."""
        return tuple(sorted(axes, key=lambda axis: self.ranks.get(axis.size, len(self.ranks))))

    def placed(self, text: Text, axes: tuple[Axis, ...]) -> Text:
        if text.axes == axes or text.number:
            return text
        order = tuple(axis for axis in axes if axis in text.axes)
        text = self._permuted(text, order)
        if order == axes:
            return text
        places = [":" if axis in order else "None" for axis in axes]
        return Text(self._view(text, places), axes, complex=text.complex)

    def _view(self, text: Text, places: list[str]) -> str:
        """Dimensions inserted: in a step, of a variable that is there before, as a view made for all steps."""
        suffix = f"[..., {_shortest(places)}]"
        if self.views is None or text.code not in self.views.variables:
            return f"{text.at(ATOM)}{suffix}"
        what = {":None": "col", "None:": "row"}.get("".join(places), "wide")
        return self.views.name(text.code, suffix, what)

    def _permuted(self, text: Text, order: tuple[Axis, ...]) -> Text:
        if text.axes == order:
            return text
        return replace(self._moved(text, order), complex=text.complex)

    def _moved(self, text: Text, order: tuple[Axis, ...]) -> Text:
        count = len(order)
        moved = [place for place in range(count) if text.axes[place] != order[place]]
        if len(moved) == 2:
            first, second = (place - count for place in moved)
            swap = ".mT" if (first, second) == (-2, -1) else f".transpose({first}, {second})"
            if self.views is not None and text.code in self.views.variables:
                return Text(self.views.name(text.code, swap, "T"), order)
            return Text(f"{text.at(ATOM)}{swap}", order)
        source = tuple(text.axes.index(axis) - count for axis in order)
        target = tuple(range(-count, 0))
        return Text(f"{text.at(ATOM)}.movedim({source}, {target})", order)

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
        axes = self._order(node.axes)
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
            whole = self._order(product.axes) == axes and all(text.axes for text in factors)
            if whole and not rest.number and len({f.complex for f in factors} | {rest.complex}) == 1:
                parts = [self.placed(text, axes).code for text in (rest, *factors)]
                return Text(f"torch.addcmul({', '.join(parts)})", axes)
        return None

    def _extremum(self, node: Binary, op: str, left: Text, right: Text) -> Text:
        if left.number and right.number:
            return Text(f"{op}({left.code}, {right.code})", number=True)
        axes = self._order(node.axes)
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
        axes = self._order(node.axes)
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
                return self.contraction(factors, over)
        text = self.text(x)
        return self._reduced(op, text, over)

    def _reduced(self, op: str, text: Text, over: tuple[Axis, ...]) -> Text:
        places = tuple(place - len(text.axes) for place, axis in enumerate(text.axes) if axis in over)
        rest = tuple(axis for axis in text.axes if axis not in over)
        where_ = str(places[0]) if len(places) == 1 else str(places)
        return Text(f"{text.at(ATOM)}.{REDUCTIONS[op]}({where_})", rest, complex=text.complex)

    def contraction(self, factors: list[Expr], over: tuple[Axis, ...]) -> Text:
        """A sum of a product: one axis at a time, the largest factor last, as matrix products where two meet."""
        texts = [self.text(factor) for factor in factors]
        if len(texts) == 2 and len(over) > 1 and all(set(over) <= set(text.axes) for text in texts):
            return self._einsum(texts[0], texts[1], over)
        for axis in sorted(over, key=lambda axis: sum(axis in text.axes for text in texts)):
            inside = [text for text in texts if axis in text.axes]
            outside = [text for text in texts if axis not in text.axes]
            inside.sort(key=lambda text: len(text.axes))
            while len(inside) > 2:
                inside = sorted([self.times(inside[0], inside[1]), *inside[2:]], key=lambda text: len(text.axes))
            pair = (
                self._contracted(inside[0], inside[1], axis)
                if len(inside) == 2
                else self._reduced("sum", inside[0], (axis,))
            )
            texts = outside + [pair]
        result = texts[0]
        for text in texts[1:]:
            result = self.times(result, text)
        return result

    def times(self, x: Text, y: Text) -> Text:
        axes = self._order(tuple(dict.fromkeys(x.axes + y.axes)))
        code = f"{self.placed(x, axes).at(PRODUCT)} * {self.placed(y, axes).at(PRODUCT + 1)}"
        return Text(code, axes, PRODUCT, x.number and y.number, x.complex or y.complex)

    def _contracted(self, x: Text, y: Text, axis: Axis) -> Text:
        """The product of two texts summed over one axis that both have."""
        both = x.complex or y.complex
        if x.complex != y.complex:
            x, y = self.as_complex(x), self.as_complex(y)
        return replace(self._multiplied(x, y, axis), complex=both)

    @staticmethod
    def as_complex(text: Text) -> Text:
        """Matrix products do not promote a real factor."""
        return text if text.complex else Text(f"{text.at(SUM)} + 0j", text.axes, SUM, text.number, True)

    def _multiplied(self, x: Text, y: Text, axis: Axis) -> Text:
        if x.axes == y.axes == (axis,):
            return Text(f"{self.times(x, y).at(ATOM)}.sum(-1)", ())
        shared = [other for other in x.axes if other in y.axes and other != axis]
        left = [other for other in x.axes if other not in y.axes]
        right = [other for other in y.axes if other not in x.axes]
        if len(left) > 1 or len(right) > 1 or (not left and not right):
            return self._einsum(x, y, (axis,))
        rows = self._permuted(x, (*shared, *left, axis))
        columns = self._permuted(y, (*shared, axis, *right))
        lead = [":"] * len(shared)
        first = rows.at(PRODUCT) if left else self._view(rows, [*lead, "None", ":"])
        second = columns.at(PRODUCT + 1) if right else self._view(columns, [*lead, ":", "None"])
        product = f"{first} @ {second}"
        if left and right:
            return Text(product, (*shared, *left, *right), PRODUCT)
        return Text(f"({product}).squeeze({-2 if right else -1})", (*shared, *left, *right))

    def _einsum(self, x: Text, y: Text, over: tuple[Axis, ...]) -> Text:
        if x.complex != y.complex:
            x, y = self.as_complex(x), self.as_complex(y)
        axes = self._order(tuple(other for other in dict.fromkeys(x.axes + y.axes) if other not in over))
        letters = dict(zip(dict.fromkeys(x.axes + y.axes), "ijklmnopqrstuvwxyz", strict=False))
        subscripts = ["".join(letters[other] for other in group) for group in (x.axes, y.axes, axes)]
        code = f'torch.einsum("...{subscripts[0]},...{subscripts[1]}->...{subscripts[2]}", {x.code}, {y.code})'
        return Text(code, axes)

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
                text = self._permuted(text, (*rest, tap))
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
            return self._permuted(Text(f"torch.linalg.solve({left}, {right})", (*batch, col, *right_sides)), node.axes)
        right = self.placed(sides[1], (*batch, row)).at(ATOM)
        solved = Text(f"torch.linalg.solve({left}, {right}[..., None])[..., 0]", (*batch, col))
        return self._permuted(solved, node.axes)


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


def _shortest(places: list[str]) -> str:
    """The colons before the first `None` go without saying after `...`."""
    return ", ".join(places[places.index("None") :])
