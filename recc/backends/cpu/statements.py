"""Statements of the kernel IR as lines of C."""

from __future__ import annotations

import re
from collections.abc import Iterator

from recc.backends.cpu.expression import Printer, is_condition
from recc.ir.kernel import (
    COLUMN,
    ROW,
    Accumulators,
    Assign,
    Combine,
    Define,
    Element,
    Local,
    Loop,
    Operation,
    Place,
    Scalar,
    Section,
    SolveSystem,
    Statement,
    Tile,
)

INDENT = "    "
TYPES = {"real": "real", "bool": "int"}
NEUTRAL = {"sum": "0", "max": "-INFINITY", "min": "INFINITY", "any": "0"}


class StatementPrinter:
    """Prints statements; the innermost open tile's first position and number of lanes are `i_first` and `i_count`."""

    def __init__(self, printer: Printer):
        self._printer = printer

    def lines(self, statements: tuple[Statement, ...], depth: int = 1) -> Iterator[str]:
        for statement in statements:
            yield from (f"{INDENT * depth}{line}" for line in self._one(statement))

    def _one(self, statement: Statement) -> Iterator[str]:
        text, name_of = self._printer.text, self._printer.name_of
        match statement:
            case Section(body, lines):
                if lines:
                    yield f"/* {', '.join(map(harmless, lines))} */"
                yield from self.lines(body, 0)
            case Define(name, value, kind):
                yield f"const {TYPES[kind]} {name_of(name)} = {text(value)};"
            case Accumulators(name, combine, size, kind):
                length = f"TILE({self._printer.size(size)})"
                self._printer.lanes.add(name)
                yield f"{TYPES[kind]} {name_of(name)}[{length}];"
                if combine != "set":
                    yield f"for (int lane = 0; lane < {length}; lane++) {name_of(name)}[lane] = {NEUTRAL[combine]};"
            case Assign(target, value, combine):
                yield self._assign(target, value, combine)
            case Loop():
                yield from self._loop(statement)
            case Tile(var, size, body, weight):
                yield from self._tile(var, self._printer.size(size), body, weight)
            case SolveSystem():
                yield from self._solve(statement)

    def _assign(self, target: Element | Local, value: Scalar, combine: Combine) -> str:
        place, text = self._printer.text(target), self._printer.text
        match combine:
            case "set":
                return f"{place} = {text(value)};"
            case "sum" if isinstance(value, Operation) and value.op == "neg":
                return f"{place} -= {text(value.args[0])};"
            case "sum":
                return f"{place} += {text(value)};"
            case "any":
                return f"{place} |= {text(value) if is_condition(value) else text(value) + ' != 0'};"
            case _:
                self._printer.used.add(f"real_{combine}")
                return f"{place} = real_{combine}({place}, {text(value)});"

    def _loop(self, loop: Loop) -> Iterator[str]:
        var, size = self._printer.name_of(loop.var), self._printer.size(loop.size)
        if loop.kind != "plain":
            yield "#pragma omp simd"
        match loop.kind:
            case "lanes":
                yield f"for (int lane = 0; lane < {var}_count; lane++) {{"
                yield f"{INDENT}const int {var} = {var}_first + lane;"
            case _:
                yield f"for (int {var} = 0; {var} < {size}; {var}++) {{"
        yield from self.lines(loop.body)
        yield "}"

    def _tile(self, var: str, size: str, body: tuple[Statement, ...], weight: int) -> Iterator[str]:
        var = self._printer.name_of(var)
        yield f"for (int {var}_first = 0; {var}_first < {size}; {var}_first += TILE({size})) {{"
        yield f"{INDENT}const int {var}_count = LANES({size}, {var}_first);"
        yield from self.lines(body)
        yield "}"

    def _solve(self, solve: SolveSystem) -> Iterator[str]:
        size = self._printer.size(solve.size)
        self._printer.used.add("eliminate")

        def element(array: str, at: tuple[Place, ...]) -> str:
            return self._printer.text(Element(array, at))

        row, col = self._printer.name_of(ROW), self._printer.name_of(COLUMN)
        yield "{"
        yield f"{INDENT}real system[{size}][{size}], right[{size}];"
        yield f"{INDENT}for (int {row} = 0; {row} < {size}; {row}++) {{"
        yield f"{INDENT * 2}for (int {col} = 0; {col} < {size}; {col}++)"
        yield f"{INDENT * 3}system[{row}][{col}] = {element(solve.matrix, solve.matrix_at)};"
        yield f"{INDENT * 2}right[{row}] = {element(solve.rhs, solve.rhs_at)};"
        yield f"{INDENT}}}"
        yield f"{INDENT}eliminate({size}, system, right);"
        yield f"{INDENT}for (int {col} = 0; {col} < {size}; {col}++)"
        yield f"{INDENT * 2}{element(solve.out, solve.out_at)} = right[{col}];"
        yield "}"


def harmless(place: str) -> str:
    """A place in a spec as text that can end neither a C comment nor the Python string that the C text stands in."""
    return re.sub(r"[^\w.:<> -]", "_", place, flags=re.ASCII)
