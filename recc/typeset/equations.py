"""A recurrence of the syntax tree as rows of LaTeX: what there is, and then one row for each equation of a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from recc.frontend import syntax
from recc.typeset.expressions import RELATIONS, SUM, Typesetter
from recc.typeset.names import escape, name

KINDS = {"input": "inputs at each step", "param": "parameters", "state": "states", "output": "outputs"}


class Row(NamedTuple):
    """One line: how deep it is inside of loops and branches, and its LaTeX."""

    depth: int
    latex: str


def latex(recurrence: syntax.Recurrence) -> str:
    r"""All of a recurrence as one `aligned` environment, for a paper.

    `h = a * h + x` becomes `h \leftarrow a \odot h + x`; `S = exp(g) * S` becomes `S \leftarrow e^{g}\, S`."""
    lines = [r"\quad " * row.depth + row.latex for row in rows(recurrence)]
    return "\\begin{aligned}\n" + " \\\\\n".join(f"& {line}" for line in lines) + "\n\\end{aligned}\n"


def rows(recurrence: syntax.Recurrence) -> list[Row]:
    """The equations of a step in the order of the spec; an arrow says that a name gets a new value."""
    to = Typesetter(_ranks(recurrence))
    return list(_block(recurrence.body, to, 0))


def declared(recurrence: syntax.Recurrence) -> dict[str, list[str]]:
    """LaTeX of what is declared, by kind: `q \\in \\mathbb{R}^{K}`, a range, a start."""
    to = Typesetter(_ranks(recurrence))
    found: dict[str, list[str]] = {}
    for item in recurrence.body:
        if isinstance(item, syntax.Declare) and item.kind != "output":
            found.setdefault(KINDS[item.kind], []).append(_declared(item, to))
    return found


def _ranks(recurrence: syntax.Recurrence) -> dict[str, int]:
    return {item.name: len(item.dims) for item in recurrence.body if isinstance(item, syntax.Declare) and item.dims}


def _declared(item: syntax.Declare, to: Typesetter) -> str:
    field = r"\mathbb{C}" if item.complex else r"\mathbb{R}"
    shape = r" \times ".join(name(str(dim)) for dim in item.dims or ())
    text = rf"{name(item.name)} \in {field}" + (f"^{{{shape}}}" if shape else "")
    if isinstance(item.bounds, syntax.Bound):
        text += rf",\ {name(item.name)} {RELATIONS[item.bounds.op]} {to.text(item.bounds.expr)}"
    elif isinstance(item.bounds, syntax.Interval):
        left, right = "(" if item.bounds.lo_open else "[", ")" if item.bounds.hi_open else "]"
        interval = f"{left}{to.text(item.bounds.lo)}, {to.text(item.bounds.hi)}{right}"
        text = rf"{name(item.name)} \in {interval}" + (f"^{{{shape}}}" if shape else "")
    if item.kind == "state" and item.value is not None:
        text += rf"\text{{ from }} {to.text(item.value)}"
    return text


def _block(body: tuple[syntax.Stmt | syntax.Declare, ...], to: Typesetter, depth: int) -> Iterator[Row]:
    for item in body:
        match item:
            case syntax.Assign():
                yield Row(depth, _assigned(item, to))
            case syntax.Augment():
                target = _target(item.target, to)
                value = syntax.Binary(item.op, syntax.Name(item.target.name), item.value)
                right = to.text(value).replace(name(item.target.name), target, 1)
                yield Row(depth, rf"{target} \leftarrow {right}")
            case syntax.Declare(kind="output"):
                yield Row(depth, _output(item, to))
            case syntax.Assert():
                yield Row(depth, rf"\text{{given that }} {to.text(item.test)}")
            case syntax.If():
                yield from _choice(item, to, depth)
            case syntax.For():
                yield from _loop(item, to, depth)
            case syntax.Def():
                yield from _defined(item, to, depth)
            case syntax.Return():
                yield Row(depth, rf"\text{{return }} {', '.join(map(to.text, item.values))}")


def _assigned(item: syntax.Assign, to: Typesetter) -> str:
    values = ",\\ ".join(map(to.text, item.values))
    if len(item.values) == len(item.targets):
        for target, value in zip(item.targets, item.values, strict=True):
            if target.items is None:
                to.ranks.setdefault(target.name, to.rank(value))
    targets = ",\\ ".join(_target(target, to) for target in item.targets)
    return rf"{targets} \leftarrow {values}"


def _target(target: syntax.Target, to: Typesetter) -> str:
    if target.items is None:
        return name(target.name)
    return to.text(syntax.Index(syntax.Name(target.name), target.items))


def _output(item: syntax.Declare, to: Typesetter) -> str:
    if item.value is None:
        return rf"\text{{output }} {name(item.name)}"
    return rf"\text{{output }} {name(item.name)} = {to.text(item.value)}"


def _choice(item: syntax.If, to: Typesetter, depth: int) -> Iterator[Row]:
    word = "if"
    for test, body in item.branches:
        yield Row(depth, rf"\text{{{word} }} {to.text(test)}\text{{:}}")
        yield from _block(body, to, depth + 1)
        word = "else if"
    if item.orelse:
        yield Row(depth, r"\text{else:}")
        yield from _block(item.orelse, to, depth + 1)


def _loop(item: syntax.For, to: Typesetter, depth: int) -> Iterator[Row]:
    counters = ", ".join(name(counter.id) for counter in item.names)
    if isinstance(item.iter, syntax.Call) and item.iter.func.id == "fixpoint":
        start = ", ".join(map(to.text, item.iter.args))
        yield Row(depth, rf"\text{{from }} {counters} = {start} \text{{ until it no longer changes:}}")
    else:
        yield Row(depth, rf"\text{{for }} {counters} = 0, \dots, {to.text(item.iter, SUM)} - 1\text{{:}}")
    yield from _block(item.body, to, depth + 1)


def _defined(item: syntax.Def, to: Typesetter, depth: int) -> Iterator[Row]:
    arguments = ", ".join(name(arg.name) for arg in item.args)
    own = Typesetter({**to.ranks, **{arg.name: len(arg.dims) for arg in item.args if arg.dims is not None}})
    yield Row(depth, rf"\text{{{escape('where')} }} {name(item.name)}\left({arguments}\right)\text{{ is:}}")
    yield from _block(item.body, own, depth + 1)
