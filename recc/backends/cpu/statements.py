"""Statements of the kernel IR as lines of C."""

from __future__ import annotations

import re
from collections.abc import Iterator

from recc.backends.cpu.expression import SIGN, Printer, is_condition
from recc.backends.cpu.sums import INDENT, is_innermost, is_row_sum, parted, summed_in, sums_apart
from recc.ir.kernel import (
    COLUMN,
    ROW,
    ROWS,
    Accumulators,
    Array,
    Assign,
    Combine,
    Define,
    Element,
    Folded,
    Local,
    Loop,
    Meeting,
    Operation,
    Product,
    Repeat,
    Scalar,
    Section,
    SolveSystem,
    Statement,
    Tile,
)

LARGEST_SYSTEM = 2**21  # bytes: a thread has 8 MiB, where several systems may lie
TYPES = {"real": "real", "bool": "int"}
NEUTRAL = {"sum": "0", "max": "-INFINITY", "min": "INFINITY", "any": "0"}


class StatementPrinter:
    """Prints statements; the innermost open tile's first position and number of lanes are `i_first` and `i_count`."""

    def __init__(self, printer: Printer, arrays: dict[str, Array], rows: str = ""):
        self._printer, self._arrays, self._count = printer, arrays, rows or printer.size(ROWS)
        self._apart: dict[str, str] = {}  # sums that are added up apart from each other, and how many of each

    def lines(self, statements: tuple[Statement, ...], depth: int = 1) -> Iterator[str]:
        for place, statement in enumerate(statements):
            yield from (f"{INDENT * depth}{line}" for line in self._one(statement))
            if isinstance(statement, (Tile, Loop)):
                yield from (f"{INDENT * depth}{line}" for line in self._together(statements[:place], statement))

    def _one(self, statement: Statement) -> Iterator[str]:
        text, name_of = self._printer.text, self._printer.name_of
        match statement:
            case Section(body, lines):
                self._apart = sums_apart(body, self._printer.size)
                if lines:
                    yield f"/* {', '.join(map(harmless, lines))} */"
                yield from self.lines(body, 0)
            case Define(name, value, kind):
                yield f"const {TYPES[kind]} {name_of(name)} = {text(value)};"
            case Accumulators(name, combine, size, kind):
                length = f"TILE({self._printer.size(size)})"
                self._printer.lanes.add(name)
                if name in self._apart:
                    self._printer.apart[name] = "[0]"
                    yield f"{TYPES[kind]} {name_of(name)}[{self._apart[name]}][{length}];"
                    yield f"for (int part = 0; part < {self._apart[name]}; part++)"
                    yield f"{INDENT}for (int lane = 0; lane < {length}; lane++) {name_of(name)}[part][lane] = 0;"
                    return
                yield f"{TYPES[kind]} {name_of(name)}[{length}];"
                if combine != "set":
                    yield f"for (int lane = 0; lane < {length}; lane++) {name_of(name)}[lane] = {NEUTRAL[combine]};"
            case Assign(target, value, combine):
                yield self._assign(target, value, combine)
            case Loop(kind="plain") if is_innermost(statement):
                yield from self._rows(statement)
            case Loop():
                yield from self._loop(statement)
            case Tile(var, size, body, weight):
                yield from self._tile(var, self._printer.size(size), body, weight)
            case SolveSystem():
                yield from self._solve(statement)
            case Repeat():
                yield from self._repeat(statement)
            case Product():
                yield from self._multiply(statement)
            case Meeting():
                yield "meet(me);"

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
            case _ if loop.size == ROWS:
                yield f"for (int {var} = me->first; {var} < me->end; {var}++) {{"
            case _:
                yield f"for (int {var} = 0; {var} < {size}; {var}++) {{"
        yield from self.lines(loop.body)
        yield "}"

    def _rows(self, loop: Loop) -> Iterator[str]:
        """The loop around lanes: sums over it in several parts, sums over lanes of many of its positions at once."""
        var, size = self._printer.name_of(loop.var), self._printer.size(loop.size)
        folded = tuple(line for line in loop.body if isinstance(line, Assign) and is_row_sum(line, loop.var))
        body = tuple(line for line in loop.body if line not in folded)
        parts = next((self._apart[name] for name in self._apart if name in summed_in(loop)), "1")
        self._printer.apart.update(dict.fromkeys(self._printer.apart.keys() & summed_in(loop), "[part]"))
        inner = [*self.lines(body, 2), *(f"{INDENT * 2}{self._kept(line)}" for line in folded)]
        self._printer.apart.update(dict.fromkeys(self._printer.apart, "[0]"))
        if not folded:
            yield from parted(f"const int {var} = row + part;", size, parts, inner)
            return
        self._printer.used.add("fold_rows")
        yield from (f"folded_rows {self._lanes_of(line)}_rows;" for line in folded)
        yield f"for (int {var}_first = 0; {var}_first < {size}; {var}_first += FOLDED_ROWS) {{"
        yield f"{INDENT}const int {var}_count = FOLDED({size}, {var}_first);"
        rows = parted(f"const int {var} = {var}_first + row + part;", f"{var}_count", parts, inner)
        yield from (f"{INDENT}{line}" for line in rows)
        for line in folded:
            place = self._printer.text(line.target).removesuffix(f"[{var}]")
            yield f"{INDENT}fold_rows(&{place}[{var}_first], {self._lanes_of(line)}_rows, {var}_count);"
        yield "}"

    def _lanes_of(self, line: Assign) -> str:
        assert isinstance(line.value, Folded)
        return self._printer.name_of(line.value.array)

    def _kept(self, line: Assign) -> str:
        """A row's lanes, kept until many are added up."""
        assert isinstance(line.value, Folded) and line.value.var is not None
        lanes = self._lanes_of(line)
        return f"fold_row({lanes}_rows[row + part], {lanes}, {self._printer.name_of(line.value.var)}_count);"

    def _together(self, before: tuple[Statement, ...], statement: Tile | Loop) -> Iterator[str]:
        """The parts of the sums that were declared before a statement and are done after it."""
        for name in (item.name for item in before if isinstance(item, Accumulators)):
            if name in self._apart and name in summed_in(statement):
                code, parts = self._printer.name_of(name), self._apart[name]
                length = next(item.size for item in before if isinstance(item, Accumulators) and item.name == name)
                yield f"for (int part = 1; part < {parts}; part++)"
                yield (f"{INDENT}for (int lane = 0; lane < TILE({self._printer.size(length)}); lane++) "
                       f"{code}[0][lane] += {code}[part][lane];")  # fmt: skip

    def _tile(self, var: str, size: str, body: tuple[Statement, ...], weight: int) -> Iterator[str]:
        var = self._printer.name_of(var)
        yield f"for (int {var}_first = 0; {var}_first < {size}; {var}_first += TILE({size})) {{"
        yield f"{INDENT}const int {var}_count = LANES({size}, {var}_first);"
        yield from self.lines(body)
        yield "}"

    def _solve(self, solve: SolveSystem) -> Iterator[str]:
        size, text = self._printer.size(solve.size), self._printer.text
        pair = len(solve.out) > 1
        function, both = ("eliminate_pairs", "[2]") if pair else ("eliminate", "")
        self._printer.used.add(function)
        row, col = self._printer.name_of(ROW), self._printer.name_of(COLUMN)
        parts = [f"[{part}]" if pair else "" for part in range(len(solve.out))]

        def together(depth: int, assigned: list[str]) -> Iterator[str]:
            for place, code in enumerate(assigned):
                yield f"{INDENT * depth}{code}{';' if place + 1 == len(assigned) else ','}"

        def filled(target: str, at: str, values: tuple[Scalar, ...]) -> list[str]:
            codes = [*map(text, values), "0"]  # what is real has no second part
            return [f"{target}{part}{at} = {code}" for part, code in zip(parts, codes, strict=False)]

        yield "{"
        yield f"{INDENT}real system{both}[{size}][{size}], right{both}[{size}];"
        limit = f'sizeof system <= {LARGEST_SYSTEM}, "systems of so many equations do not fit a stack"'
        yield f"{INDENT}_Static_assert({limit});"
        yield f"{INDENT}for (int {row} = 0; {row} < {size}; {row}++) {{"
        yield f"{INDENT * 2}for (int {col} = 0; {col} < {size}; {col}++)"
        yield from together(3, filled("system", f"[{row}][{col}]", solve.matrix))
        yield from together(2, filled("right", f"[{row}]", solve.rhs))
        yield f"{INDENT}}}"
        yield f"{INDENT}{function}({size}, system, right);"
        yield f"{INDENT}for (int {col} = 0; {col} < {size}; {col}++)"
        outs = [f"{text(out)} = right{part}[{col}]" for out, part in zip(solve.out, parts, strict=True)]
        yield from together(2, outs)
        yield "}"

    def _repeat(self, repeat: Repeat) -> Iterator[str]:
        yield f"for (int round = 0; round < {repeat.rounds}; round++) {{"
        yield from self.lines(repeat.body)
        yield f"{INDENT}if (!{self._printer.text(repeat.moving, SIGN)}) break;"
        if (missed := repeat.missed) is not None:
            last = f"if (round == {repeat.rounds - 1})"
            yield f"{INDENT}{last} {self._assign(missed.target, missed.value, missed.combine)}"
        yield "}"

    def _multiply(self, product: Product) -> Iterator[str]:
        text, size = self._printer.text, self._printer.size
        vector, out = (
            f"&{text(Element(name, (0, *at, 0)))}, {self._row(name)}"
            for name, at in ((product.vector, product.vector_at), (product.out, product.at))
        )
        matrix = f"&{text(Element(product.matrix, (*product.at, 0, 0)))}"
        shape = f"{self._count}, {size(product.inner)}, {size(product.columns)}"
        if product.turned:
            self._printer.used.add("multiply_turned")
            yield f"multiply_turned(me, {shape}, {vector}, {matrix}, {size(product.inner)}, {out});"
        else:
            self._printer.used.add("multiply")
            yield f"multiply(me, {shape}, {vector}, 1, {matrix}, {size(product.columns)}, {out}, 0);"

    def _row(self, name: str) -> str:
        """The number of elements of one of a block's rows."""
        return " * ".join(self._printer.size(size) for size in self._arrays[name].sizes[1:])


def harmless(place: str) -> str:
    """A place in a spec as text that can end neither a C comment nor the Python string that the C text stands in."""
    return re.sub(r"[^\w.:<> -]", "_", place, flags=re.ASCII)
