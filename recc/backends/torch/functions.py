"""Definitions as Python functions on tuples of tensors: unpack, compute line by line, return."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recc.backends.torch.expression import Printer
from recc.backends.torch.layout import ATOM, Text, Views
from recc.backends.torch.names import one_line, python_name
from recc.diagnostics import NOWHERE
from recc.ir.nodes import Axis, Binary, Expr, Fixpoint, Let, Output, Reduce, Size, Unary, Var
from recc.ir.traverse import names

WIDEST_TUPLE = 100


@dataclass(frozen=True)
class Slot:
    """One entry of a tuple that functions hand on: its name, the code that makes it, and the variable that it is, if
    it is one as it stands (and not a view of one)."""

    name: str
    code: str
    var: Var | None = None


def slots(variables: tuple[Var, ...]) -> tuple[Slot, ...]:
    """Variables as they stand."""
    return tuple(Slot(python_name(var.name), python_name(var.name), var) for var in variables)


@dataclass(frozen=True)
class Argument:
    """A tuple that a function takes, and what it holds in order."""

    name: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Context:
    """What the functions of a module share: sizes known when compiling, the usual order of the others in a value, the
    helpers that any of them uses, and what prints their fixed points."""

    sizes: dict[str, int]
    ranks: dict[Size, int]
    helpers: set[str] = field(default_factory=set)
    solved: Callable[[Printer, Fixpoint], Text] | None = None


@dataclass(frozen=True)
class Result:
    """A value to return over its axes. `like` is a variable that lends its shape to a plain number, and its name to a
    line of its own; with `spread`, the value takes the variable's leading dimensions."""

    expr: Expr
    axes: tuple[Axis, ...]
    like: Var | None = None
    spread: bool = False


@dataclass(frozen=True)
class Body:
    """The lines of a function and what it returns, before it is known which tuples hand it its variables."""

    lines: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    sizes: tuple[str, ...]
    needs_like: bool

    @property
    def words(self) -> set[str]:
        """Every name that occurs."""
        code = [line.partition("  # ")[0] for line in self.lines]
        text = "\n".join((*code, *(code for group in self.groups for code in group)))
        return set(re.findall(r"[A-Za-z_]\w*", text))

    def render(self, name: str, doc: str, arguments: tuple[Argument, ...]) -> str:
        """The function's text."""
        head = self._preamble([slot for argument in arguments for slot in argument.slots])
        read = self.words | {re.split(r"\W", line.split(" = ")[1])[0] for line in head}
        unpacking = [_unpack(argument, read) for argument in arguments]
        body = [line for line in unpacking if line] + head + list(self.lines)
        lines = [f"def {name}({', '.join(argument.name for argument in arguments)}):", f'    """{doc}"""']
        lines += [f"    {line}" for line in body]
        lines.append(f"    return {', '.join(_tuple(group) for group in self.groups)}")
        return "\n".join(lines)

    def _preamble(self, given: list[Slot]) -> list[str]:
        variables = [slot for slot in given if slot.var is not None]
        variables.sort(key=lambda slot: slot.name not in self.words)
        lines = []
        if self.needs_like:
            real = [slot for slot in variables if slot.var is not None and not slot.var.complex]
            lines.append(f"like = {real[0].name if real else variables[0].name + '.real'}")
        for size in self.sizes:
            slot = next(slot for slot in variables if slot.var is not None and size in slot.var.sizes)
            assert slot.var is not None
            lines.append(f"{size} = {slot.name}.shape[{slot.var.sizes.index(size) - len(slot.var.sizes)}]")
        return lines


def write(
    context: Context,
    lets: tuple[Let, ...],
    groups: tuple[tuple[Result, ...], ...],
    *,
    totals: tuple[Output, ...] | None = None,
    timeless: frozenset[str] = frozenset(),
    views: Views | None = None,
) -> Body:
    """The body of a function that computes groups of results from definitions, and (of `finish`) totals over time.

    `timeless` are the names whose values have no leading dimensions.
    With `views`, values that only insert a dimension into a variable are noted there, to be made once for all steps."""
    printer = Printer(
        name_of=python_name,
        sizes=context.sizes,
        ranks=context.ranks,
        helpers=context.helpers,
        views=views,
        solved=context.solved,
    )
    exprs = [result.expr for group in groups for result in group] + [item.expr for item in totals or ()]
    needed = _needed(lets, exprs)
    lines = []
    for let in needed:
        if printer.text(let.expr).number:
            printer.numbers.add(let.name)
        lines.append(f"{python_name(let.name)} = {printer.aligned(let.expr, let.axes)}{_place(let)}")
    texts = [[_result(printer, result) for result in group] for group in groups]
    if totals is not None:
        texts.append([_total(printer, item.expr, item.var.axes, timeless) for item in totals])
    read = frozenset().union(*(names(expr) for expr in (*exprs, *(let.expr for let in needed))))
    taken = {python_name(name) for name in (*read, *(let.name for let in lets))} | set(printer.used_sizes)
    labels = [[_label(result, place) for place, result in enumerate(group)] for group in groups]
    named, extra = _named_results(texts, [*labels, [python_name(item.name) for item in totals or ()]], taken)
    return Body(tuple(lines + extra), tuple(map(tuple, named)), tuple(printer.used_sizes), printer.needs_like)


def _needed(lets: tuple[Let, ...], results: Iterable[Expr]) -> tuple[Let, ...]:
    """The definitions that results need, in order."""
    wanted: set[str] = set().union(*(names(result) for result in results))
    kept = []
    for let in reversed(lets):
        if let.name in wanted:
            kept.append(let)
            wanted |= names(let.expr)
    return tuple(reversed(kept))


def _result(printer: Printer, result: Result) -> str:
    if result.spread:
        return _spread(printer, result)
    text = printer.text(result.expr)
    if not text.number:
        return printer.aligned(result.expr, result.axes)
    if result.like is not None:
        return f"torch.full_like({python_name(result.like.name)}, {text.code})"
    printer.needs_like = True
    return f"like.new_full((), {text.code})"


def _spread(printer: Printer, result: Result) -> str:
    """A value behind the leading dimensions of the variable `like`."""
    text, like = printer.text(result.expr), result.like
    assert like is not None
    name = python_name(like.name)
    if text.number and result.axes == like.axes:
        return f"torch.full_like({name}, {text.code})"
    leading = f"{name}.shape[:-{len(like.sizes)}]" if like.sizes else f"{name}.shape"
    sizes = "".join(f", {printer.size(axis.size).code}" for axis in result.axes)
    if text.number:
        return f"{name}.new_full((*{leading}{sizes or ','}), {text.code})"
    return f"{printer.aligned(result.expr, result.axes, ATOM)}.to({name}.dtype).expand(*{leading}{sizes})"


def _total(printer: Printer, expr: Expr, axes: tuple[Axis, ...], timeless: frozenset[str]) -> str:
    """A value summed over time, which is dimension 1; products become one contraction."""
    first, *rest = [(sign, _time_sum(printer, term, axes, timeless)) for sign, term in _terms(expr)]
    return ("-" if first[0] == "-" else "") + first[1] + "".join(f" {sign} {code}" for sign, code in rest)


def _time_sum(printer: Printer, expr: Expr, axes: tuple[Axis, ...], timeless: frozenset[str]) -> str:
    summed = isinstance(expr, Reduce) and expr.op == "sum"
    inner, over = (expr.x, expr.over) if summed else (expr, ())  # type: ignore[union-attr]
    if names(expr) <= timeless:  # a cotangent is a factor of every total, unless it is zero
        return _result(printer, Result(expr, axes))
    factors = _timed([(printer.text(factor), names(factor) <= timeless) for factor in _product(inner)], printer)
    numbers = [factor for factor in factors if factor.number]
    tensors = sorted((factor for factor in factors if not factor.number), key=lambda text: len(text.axes))
    if not tensors:
        return _result(printer, Result(expr, axes))
    while len(tensors) > 2:
        tensors = sorted([printer.times(tensors[0], tensors[1]), *tensors[2:]], key=lambda text: len(text.axes))
    scale = "".join(f"{number.at(ATOM)} * " for number in numbers)
    return scale + _contract_time(printer, tensors, over, axes)


def _timed(factors: list[tuple[Text, bool]], printer: Printer) -> list[Text]:
    """Factors of a product: those without time, which no sum over it can read, are multiplied into one that has it."""
    numbers = [text for text, _ in factors if text.number]
    first, *timed = [text for text, timeless in factors if not timeless and not text.number]
    for text in (text for text, timeless in factors if timeless and not text.number):
        first = printer.times(first, text)
    return [*numbers, first, *timed]


def _contract_time(printer: Printer, texts: list[Text], over: tuple[Axis, ...], axes: tuple[Axis, ...]) -> str:
    present = tuple(axis for axis in axes if any(axis in text.axes for text in texts))
    if len(texts) == 1 and not over:
        return printer.placed(Text(f"{texts[0].at(ATOM)}.sum(1)", texts[0].axes), axes).code
    if len({text.complex for text in texts}) > 1:
        texts = [printer.as_complex(text) for text in texts]
    every = dict.fromkeys(axis for text in texts for axis in text.axes)
    letters = dict(zip(every, "ijklmnopqrsuvwxyz", strict=False))
    terms = ",".join("bt..." + "".join(letters[axis] for axis in text.axes) for text in texts)
    out = "b..." + "".join(letters[axis] for axis in present)
    code = f'torch.einsum("{terms}->{out}", {", ".join(text.code for text in texts)})'
    return printer.placed(Text(code, present), axes).code


def _named_results(
    texts: list[list[str]], labels: list[list[str]], taken: set[str]
) -> tuple[list[list[str]], list[str]]:
    """Long results get lines of their own, so that a return statement stays short."""
    lines: list[str] = []
    named = []
    for group, labelled in zip(texts, labels, strict=False):
        row = []
        for text, label in zip(group, labelled, strict=True):
            if len(text) > 30:
                name = _fresh(label, taken)
                lines.append(f"{name} = {text}")
                text = name
            row.append(text)
        named.append(row)
    return named, lines


def _label(result: Result, place: int) -> str:
    """`S_new` for a state's new value; what has no name of its own is numbered."""
    return f"result_{place}" if result.like is None else f"{python_name(result.like.name)}_new"


def _fresh(name: str, taken: set[str]) -> str:
    base, count = name, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name


def _terms(expr: Expr, sign: str = "+") -> list[tuple[str, Expr]]:
    """The signed terms of a sum."""
    flipped = "-" if sign == "+" else "+"
    if isinstance(expr, Binary) and expr.op in ("add", "sub"):
        return _terms(expr.x, sign) + _terms(expr.y, sign if expr.op == "add" else flipped)
    if isinstance(expr, Unary) and expr.op == "neg":
        return _terms(expr.x, flipped)
    return [(sign, expr)]


def _product(expr: Expr) -> list[Expr]:
    if isinstance(expr, Binary) and expr.op == "mul":
        return _product(expr.x) + _product(expr.y)
    return [expr]


def _tuple(items: Sequence[str], indent: str = "    ") -> str:
    """A tuple on one line, or on as many as it needs."""
    flat = f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if len(flat) <= WIDEST_TUPLE:
        return flat
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + len(item) > WIDEST_TUPLE:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{item},"
    inside = "".join(f"{indent}    {line}\n" for line in lines)
    return f"(\n{inside}{indent})"


def _unpack(argument: Argument, read: set[str]) -> str:
    """The line that takes a tuple apart; entries that are not read are `_`."""
    found = [slot.name if slot.name in read else "_" for slot in argument.slots]
    if all(name == "_" for name in found):
        return ""
    listed = ", ".join(found)
    return f"{_tuple(found) if len(found) == 1 or len(listed) > WIDEST_TUPLE else listed} = {argument.name}"


def _place(let: Let) -> str:
    if let.temporary or let.span.source is NOWHERE.source:
        return ""
    return f"  # {one_line(Path(let.span.source.path).name)}:{let.span.line}"
