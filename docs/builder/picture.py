"""What depends on what in a recurrence, as an SVG: inputs, states level by level, and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple

from recc.ir.nodes import Expr, Recurrence
from recc.ir.traverse import names
from recc.passes.analyse import Analysis

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 104, 30, 74, 20, 26


class Box(NamedTuple):
    """A name, where its upper left corner is, and what kind of name it is."""

    name: str
    x: int
    y: int
    kind: str


def picture(recurrence: Recurrence, analysis: Analysis) -> str:
    """An SVG element; dashed lines are what a state carries from step to step."""
    reads = _reads(recurrence)
    columns = _columns(recurrence, analysis)
    boxes = {box.name: box for place, column in enumerate(columns) for box in _placed(place, column, columns)}
    lines = [_line(boxes[source], boxes[target], recurrence) for target, sources in reads.items() for source in sources]
    width = max(box.x for box in boxes.values()) + WIDTH + MARGIN
    height = max(box.y for box in boxes.values()) + HEIGHT + MARGIN
    body = "\n".join([*lines, *map(_drawn, boxes.values())])
    label = f"What depends on what in {recurrence.name}"
    return (
        f'<svg class="picture" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}">\n{MARKER}\n{body}\n</svg>'
    )


MARKER = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" class="tip"/></marker></defs>'
)


def _reads(recurrence: Recurrence) -> dict[str, list[str]]:
    """The inputs, params and states that each new state and each output depends on, in order of declaration."""
    order = [var.name for var in recurrence.variables]
    through: dict[str, frozenset[str]] = {name: frozenset({name}) for name in order}
    for let in recurrence.lets:
        through[let.name] = _closed(let.expr, through)
    updates = zip(recurrence.state_names, recurrence.updates, strict=True)
    targets: dict[str, Expr] = dict(updates) | {f"{item.name} ": item.expr for item in recurrence.outputs}
    starts = {state.name: names(state.start) for state in recurrence.states}
    found = {target: _closed(expr, through) | starts.get(target, frozenset()) for target, expr in targets.items()}
    return {target: [name for name in order if name in sources] for target, sources in found.items()}


def _closed(expr: Expr, through: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*(through[name] for name in names(expr)))


def _columns(recurrence: Recurrence, analysis: Analysis) -> list[list[tuple[str, str]]]:
    """(name, kind) by column; an output's name ends in a blank, since it may be a state's as well."""
    first = [(var.name, "input") for var in recurrence.inputs] + [(var.name, "param") for var in recurrence.params]
    levels = [[(name, "state") for item in level for name in item.states] for level in analysis.levels]
    return [first, *levels, [(f"{item.name} ", "output") for item in recurrence.outputs]]


def _placed(place: int, column: Iterable[tuple[str, str]], columns: list[list[tuple[str, str]]]) -> list[Box]:
    column = list(column)
    tallest = max(map(len, columns))
    top = MARGIN + (tallest - len(column)) * (HEIGHT + GAP_Y) // 2
    x = MARGIN + place * (WIDTH + GAP_X)
    return [Box(name, x, top + row * (HEIGHT + GAP_Y), kind) for row, (name, kind) in enumerate(column)]


def _line(source: Box, target: Box, recurrence: Recurrence) -> str:
    carried = ' stroke-dasharray="5 4"' if source.kind == "state" and target.kind == "state" else ""
    if source == target:  # a loop above the box
        left, right, y = source.x + WIDTH // 3, source.x + 2 * WIDTH // 3, source.y
        path = f"M{right} {y} C{right} {y - 24} {left} {y - 24} {left} {y - 2}"
    elif source.x == target.x:  # states of one level, beside the boxes
        x, bend = source.x + WIDTH, source.x + WIDTH + GAP_X // 2
        y = target.y + HEIGHT // 2
        path = f"M{x} {source.y + HEIGHT // 2} C{bend} {source.y + HEIGHT // 2} {bend} {y} {x + 2} {y}"
    else:
        start, end = (source.x + WIDTH, target.x - 2) if source.x < target.x else (source.x, target.x + WIDTH + 2)
        y, to = source.y + HEIGHT // 2, target.y + HEIGHT // 2
        middle = (start + end) // 2
        path = f"M{start} {y} C{middle} {y} {middle} {to} {end} {to}"
    return f'<path d="{path}" class="from-{source.kind}"{carried} marker-end="url(#tip)"/>'


def _drawn(box: Box) -> str:
    text = box.name.strip()
    squeeze = f' textLength="{WIDTH - 10}" lengthAdjust="spacingAndGlyphs"' if len(text) > 12 else ""
    return (
        f'<g class="{box.kind}"><rect x="{box.x}" y="{box.y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{box.x + WIDTH // 2}" y="{box.y + HEIGHT // 2 + 5}"{squeeze}>{escape(text)}</text></g>'
    )
