"""Sums in a nest whose innermost loop runs over lanes: which of them are printed in several parts or rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from recc.ir.kernel import LANES, ROWS, Accumulators, Assign, Element, Folded, Loop, Section, Statement, Tile
from recc.ir.nodes import Size

INDENT = "    "


def parted(head: str, count: str, parts: str, body: list[str]) -> Iterator[str]:
    """A loop over `row + part`, whose steps of one `row` are written out."""
    if parts == "1":
        head = head.replace(" + part", "")
        yield f"for (int row = 0; row < {count}; row++) {{"
        yield f"{INDENT}{head}"
        yield from (line.removeprefix(INDENT).replace("[row + part]", "[row]") for line in body)
    else:
        yield f"for (int row = 0; row < {count}; row += {parts}) {{"
        yield f"{INDENT}#pragma GCC unroll 4"
        yield f"{INDENT}for (int part = 0; part < {parts}; part++) {{"
        yield f"{INDENT * 2}{head}"
        yield from body
        yield f"{INDENT}}}"
    yield "}"


def inside(statement: Statement) -> Iterator[Statement]:
    """A statement and all that stand in it."""
    yield statement
    if isinstance(statement, (Loop, Tile, Section)):
        for line in statement.body:
            yield from inside(line)


def is_innermost(loop: Loop) -> bool:
    """Whether a loop, but not that over the rows of a block, stands right around lanes."""
    return (
        loop.kind == "plain"
        and loop.size != ROWS
        and any(isinstance(line, Loop) and line.kind == "lanes" for line in loop.body)
    )


def is_row_sum(line: Assign, var: str) -> bool:
    """Whether a line adds a sum over lanes to an element of an array whose last axis a loop runs over."""
    return (
        line.combine == "sum"
        and isinstance(line.value, Folded)
        and line.value.combine == "sum"
        and line.value.var is not None
        and isinstance(line.target, Element)
        and line.target.at.count(var) == 1
        and line.target.at[-1] == var
    )


def summed_in(statement: Statement) -> set[str]:
    """The arrays that lines in a statement add to."""
    lines = [line for line in inside(statement) if isinstance(line, Assign) and line.combine == "sum"]
    return {line.target.array for line in lines if isinstance(line.target, Element)}


def sums_apart(body: tuple[Statement, ...], size_of: Callable[[Size], str]) -> dict[str, str]:
    """The sums of a nest that are added up in several parts, with how many there are of each. Those of rows that are
    walked side by side are not: they would depend on how many rows there are."""
    lines = [line for statement in body for line in inside(statement)]
    loops = [line for line in lines if isinstance(line, Loop) and is_innermost(line)]
    sums = [line for line in lines if isinstance(line, Accumulators) and line.combine == "sum" and line.size != LANES]
    made = {line.name: line for line in sums}
    if len(loops) != 1 or not any(isinstance(line, Tile) for line in lines):
        return {}
    names = [name for name in made if name in summed_in(loops[0])]
    rows = size_of(loops[0].size)
    return {name: f"APART({rows}, {size_of(made[name].size)}, {len(names)})" for name in names}
