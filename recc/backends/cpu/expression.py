"""Scalar expressions of the kernel IR as C."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from recc.ir.kernel import (
    Choice,
    Element,
    Epsilon,
    Extent,
    Folded,
    Inside,
    Local,
    Number,
    Operation,
    Place,
    Position,
    Scalar,
    Shift,
)
from recc.ir.nodes import Size
from recc.passes.lower_kernel_lanes import LARGEST_POWER

# How tightly a text binds, in the order of C's operators.
ATOM, SIGN, PRODUCT, SUM, COMPARE, EQUAL, BIT_AND, BIT_OR, CHOICE = 9, 8, 7, 6, 5, 4, 3, 2, 1
OPERATORS = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "lt": ("<", COMPARE),
    "le": ("<=", COMPARE),
    "gt": (">", COMPARE),
    "ge": (">=", COMPARE),
    "eq": ("==", EQUAL),
    "ne": ("!=", EQUAL),
    "and": ("&", BIT_AND),
    "or": ("|", BIT_OR),
}
CONDITIONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"})


@dataclass
class Printer:
    """Prints expressions over arrays that `reference` knows how to reach; notes which functions it used."""

    reference: Callable[[str], str]
    name_of: Callable[[str], str]
    used: set[str] = field(default_factory=set)
    lanes: set[str] = field(default_factory=set)
    apart: dict[str, str] = field(default_factory=dict)  # which part of a sum in several parts is meant

    def text(self, value: Scalar, binds: int = 0) -> str:
        """The code of a value, in brackets if what is around it binds at least as tightly as `binds`."""
        code, own = self._text(value)
        return code if own >= binds else f"({code})"

    def _text(self, value: Scalar) -> tuple[str, int]:
        match value:
            case Number(number):
                return number_text(number)
            case Extent(size):
                return f"(real){self.size(size)}", SIGN
            case Position(place):
                return f"(real){self.place(place, ATOM)}", SIGN
            case Inside(place):
                at = self._shifted(place)
                return f"{at} >= 0 & {at} < {self.size(place.size)}", BIT_AND
            case Epsilon():
                self.used.add("epsilon")
                return "REAL_EPSILON", ATOM
            case Local(name):
                return self.name_of(name), ATOM
            case Element(array) if array in self.lanes:
                return f"{self.name_of(array)}{self.apart.get(array, '')}[lane]", ATOM
            case Element(array, at):
                return self.reference(array) + "".join(f"[{self.place(item)}]" for item in at), ATOM
            case Operation(op, args):
                return self._operation(op, args)
            case Folded(array, combine, size, var):
                self.used.add(f"fold_{combine}")
                count = f"TILE({self.size(size)})" if var is None else f"{self.name_of(var)}_count"
                return f"fold_{combine}({self.name_of(array)}{self.apart.get(array, '')}, {count})", ATOM
            case Choice(test, x, y):
                parts = self.text(test, CHOICE + 1), self.text(x, CHOICE + 1), self.text(y, CHOICE)
                return f"{parts[0]} ? {parts[1]} : {parts[2]}", CHOICE

    def size(self, size: Size) -> str:
        return self.name_of(size) if isinstance(size, str) else str(size)

    def place(self, place: Place, binds: int = 0) -> str:
        if isinstance(place, Shift):
            self.used.add("wrapped")
            return f"wrapped({self._shifted(place)}, {self.size(place.size)})"
        return str(place) if isinstance(place, int) else self.name_of(place)

    def _shifted(self, shift: Shift) -> str:
        plus = [self.place(item) for item in shift.plus]
        minus = [self.place(item) for item in shift.minus]
        if shift.half is not None:
            (minus if shift.negative else plus).append(f"{self.size(shift.half)} / 2")
        code = " + ".join(plus) + "".join(
            f" - {item}" if not item.startswith("-") else f" + {item[1:]}" for item in minus
        )
        return f"({code})"

    def _operation(self, op: str, args: tuple[Scalar, ...]) -> tuple[str, int]:
        if op in OPERATORS:
            symbol, binds = OPERATORS[op]
            first = self.text(args[0], binds)
            return f"{first} {symbol} {self.text(args[1], binds + 1)}", binds
        match op:
            case "neg":
                inner = self.text(args[0], SIGN)
                return (f"-({inner})" if inner.startswith("-") else f"-{inner}"), SIGN
            case "not":
                return f"!{self.text(args[0], SIGN + 1)}", SIGN
            case "real" | "conj":
                return self._text(args[0])
            case "imag":
                return number_text(0)
            case "pow" if isinstance(args[1], Number) and args[1].value in range(2, LARGEST_POWER + 1):
                self.used.add(f"power_{int(args[1].value)}")
                return f"power_{int(args[1].value)}({self.text(args[0])})", ATOM
        self.used.add(f"real_{op}")
        return f"real_{op}({', '.join(self.text(arg) for arg in args)})", ATOM


def number_text(number: float | int | bool) -> tuple[str, int]:
    """A number as a `real` of C, whatever its digits."""
    if isinstance(number, bool):
        return str(int(number)), ATOM
    if math.isinf(number):
        return ("INFINITY", ATOM) if number > 0 else ("-INFINITY", SIGN)
    if math.isnan(number):
        return "NAN", ATOM
    code = repr(int(number)) if number == int(number) and abs(number) < 2**31 else repr(float(number))
    if number == 0 and math.copysign(1, number) < 0:
        code = "-0.0"
    return f"(real){code}", SIGN


def is_condition(value: Scalar) -> bool:
    return isinstance(value, Inside) or isinstance(value, Operation) and value.op in CONDITIONS
