"""Definitions as Python functions on tuples of tensors: unpack, compute line by line, return."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from recc.backends.torch.expression import ATOM, Printer, Text
from recc.diagnostics import NOWHERE
from recc.ir.nodes import Axis, Binary, Expr, Let, Reduce, Size, Unary, Var
from recc.ir.traverse import names

RESERVED = frozenset(
    {"torch", "math", "like", "inputs", "params", "constants", "state", "prepared", "kept", "earlier", "transition", "offset"}
)


def python_name(name: str) -> str:
    """A recurrence's name as a Python variable that hides nothing."""
    taken = keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name) or name in RESERVED
    return f"{name}_" if taken else name


@dataclass(frozen=True)
class Argument:
    """A tuple that a function takes, and the variables that it holds in order."""

    name: str
    variables: tuple[Var, ...]
    sequence: bool = True


@dataclass(frozen=True)
class Context:
    """What the functions of a module share: sizes known when compiling, the usual order of the others in a value, and
    the helpers that any of them uses."""

    sizes: dict[str, int]
    ranks: dict[Size, int]
    helpers: set[str] = field(default_factory=set)


@dataclass
class Function:
    """One generated function. `results` are groups of values; a group is returned as a tuple."""

    name: str
    doc: str
    arguments: tuple[Argument, ...]
    lets: tuple[Let, ...]
    context: Context

    def __post_init__(self) -> None:
        context = self.context
        self._printer = Printer(python_name, context.sizes, context.ranks, helpers=context.helpers)
        self._variables = {var.name: var for argument in self.arguments for var in argument.variables}

    def render(self, groups: Iterable[list[str] | None], lines: list[str], used: set[str]) -> str:
        """The function's text, from result texts that were printed with `result` and its kin."""
        body = self._unpacking(used) + self._preamble() + lines
        returned = ", ".join(_tuple(group) for group in groups if group is not None)
        signature = ", ".join(argument.name for argument in self.arguments)
        text = [f"def {self.name}({signature}):", f'    """{self.doc}"""']
        text += [f"    {line}" for line in body] + [f"    return {returned}"]
        return "\n".join(text)

    def needed(self, results: Iterable[Expr]) -> tuple[Let, ...]:
        """The definitions that results need, in order."""
        wanted: set[str] = set().union(*(names(result) for result in results))
        kept = []
        for let in reversed(self.lets):
            if let.name in wanted and let.name not in self._variables:
                kept.append(let)
                wanted |= names(let.expr)
        return tuple(reversed(kept))

    def lines(self, lets: tuple[Let, ...]) -> list[str]:
        """One line for each definition, with the place in the spec that it comes from."""
        return [f"{python_name(let.name)} = {self._printer.aligned(let.expr, let.axes)}{_place(let)}" for let in lets]

    def result(self, expr: Expr, axes: tuple[Axis, ...], like: str | None = None) -> str:
        """A value over its axes; a plain number becomes a tensor shaped like `like`."""
        text = self._printer.text(expr)
        if not text.number:
            return self._printer.aligned(expr, axes)
        if like is not None:
            return f"torch.full_like({python_name(like)}, {text.code})"
        self._printer.needs_like = True
        return f"like.new_full((), {text.code})"

    def spread(self, expr: Expr, axes: tuple[Axis, ...], like: Var) -> str:
        """A value over its axes behind the leading dimensions of the variable `like`."""
        text, name = self._printer.text(expr), python_name(like.name)
        if text.number and axes == like.axes:
            return f"torch.full_like({name}, {text.code})"
        leading = f"{name}.shape[:-{len(like.sizes)}]" if like.sizes else f"{name}.shape"
        sizes = "".join(f", {self._printer.size(axis.size).code}" for axis in axes)
        shape = f"*{leading}{sizes}"
        if text.number:
            return f"{name}.new_full(({shape}{'' if sizes else ','}), {text.code})"
        return f"{self._printer.aligned(expr, axes, ATOM)}.to({name}.dtype).expand({shape})"

    def total(self, expr: Expr, axes: tuple[Axis, ...]) -> str:
        """A value summed over time, which is dimension 1; products become one contraction."""
        parts = [self._time_sum(sign, term, axes) for sign, term in _terms(expr)]
        return " ".join(parts).removeprefix("+ ").replace("- ", "-", 1) if parts[0][0] == "-" else " ".join(parts)[2:]

    def _time_sum(self, sign: str, expr: Expr, axes: tuple[Axis, ...]) -> str:
        over: tuple[Axis, ...] = ()
        inner = expr
        if isinstance(expr, Reduce) and expr.op == "sum":
            inner, over = expr.x, expr.over
        factors = [self._printer.text(factor) for factor in _product(inner)]
        numbers = [factor for factor in factors if factor.number]
        tensors = sorted((factor for factor in factors if not factor.number), key=lambda text: len(text.axes))
        if not tensors:
            return f"{sign} {self.result(expr, axes)}"
        while len(tensors) > 2:
            merged = self._printer._times(tensors[0], tensors[1])
            tensors = sorted([merged, *tensors[2:]], key=lambda text: len(text.axes))
        scale = "".join(f"{number.at(ATOM)} * " for number in numbers)
        return f"{sign} {scale}{self._contract_time(tensors, over, axes)}"

    def _contract_time(self, texts: list[Text], over: tuple[Axis, ...], axes: tuple[Axis, ...]) -> str:
        present = tuple(axis for axis in axes if any(axis in text.axes for text in texts))
        if len(texts) == 1 and not over:
            code = f"{texts[0].at(ATOM)}.sum(1)"
            result = Text(code, texts[0].axes)
        else:
            every = dict.fromkeys(axis for text in texts for axis in text.axes)
            letters = dict(zip(every, "ijklmnopqrsuvwxyz", strict=False))
            if len({text.complex for text in texts}) > 1:
                texts = [self._printer._as_complex(text) for text in texts]
            terms = ",".join("bt..." + "".join(letters[axis] for axis in text.axes) for text in texts)
            out = "b..." + "".join(letters[axis] for axis in present)
            result = Text(f'torch.einsum("{terms}->{out}", {", ".join(text.code for text in texts)})', present)
        return self._printer._aligned(result, axes).code

    def _preamble(self) -> list[str]:
        lines = []
        if self._printer.needs_like:
            lines.append(f"like = {self._like()}")
        for size in self._printer.used_sizes:
            lines.append(f"{size} = {self._size_source(size)}")
        return lines

    def _like(self) -> str:
        real = [var for var in self._variables.values() if not var.complex]
        chosen = real[0] if real else next(iter(self._variables.values()))
        return python_name(chosen.name) if real else f"{python_name(chosen.name)}.real"

    def _size_source(self, size: str) -> str:
        for var in self._variables.values():
            if size in var.sizes:
                return f"{python_name(var.name)}.shape[{var.sizes.index(size) - len(var.sizes)}]"
        raise AssertionError(f"{self.name} has nothing with the size {size}")

    def _unpacking(self, used: set[str]) -> list[str]:
        preamble = "\n".join(self._preamble())
        lines = []
        for argument in self.arguments:
            read = [
                python_name(var.name) if var.name in used or _mentions(preamble, python_name(var.name)) else "_"
                for var in argument.variables
            ]
            if any(name != "_" for name in read):
                lines.append(f"{_tuple(read) if len(read) == 1 else ', '.join(read)} = {argument.name}")
        return lines


def function(
    name: str,
    doc: str,
    arguments: tuple[Argument, ...],
    lets: tuple[Let, ...],
    groups: tuple[tuple[tuple[Expr, tuple[Axis, ...], str | None], ...] | None, ...],
    context: Context,
    totals: tuple[tuple[Expr, tuple[Axis, ...]], ...] | None = None,
) -> str:
    """A function that computes groups of results, and (of `finish`) totals over time."""
    made = Function(name, doc, arguments, lets, context)
    exprs = [expr for group in groups if group is not None for expr, _, _ in group]
    exprs += [expr for expr, _ in totals or ()]
    needed = made.needed(exprs)
    lines = made.lines(needed)
    used = set().union(*(names(expr) for expr in exprs), *(names(let.expr) for let in needed))
    texts: list[list[str] | None] = []
    for group in groups:
        if group is not None:
            texts.append([made.result(expr, axes, like) for expr, axes, like in group])
            used |= {like for _, _, like in group if like is not None}
    if totals is not None:
        texts.append([made.total(expr, axes) for expr, axes in totals])
    return _finished(made, texts, groups, needed, lines, used)


def spreading(
    name: str,
    doc: str,
    arguments: tuple[Argument, ...],
    groups: tuple[tuple[tuple[Expr, tuple[Axis, ...], Var], ...], ...],
    context: Context,
) -> str:
    """A function whose results take the leading dimensions of a variable, as neutral elements and starts do."""
    made = Function(name, doc, arguments, (), context)
    texts: list[list[str] | None] = [[made.spread(expr, axes, like) for expr, axes, like in group] for group in groups]
    used = {like.name for group in groups for _, _, like in group}
    used = used.union(*(names(expr) for group in groups for expr, _, _ in group))
    return _finished(made, texts, groups, (), [], used)


def _finished(made: Function, texts, groups, needed: tuple[Let, ...], lines: list[str], used: set[str]) -> str:
    taken = {python_name(let.name) for let in needed} | {python_name(name) for name in made._variables}
    texts, extra = _named_results(texts, groups, taken)
    return made.render(texts, lines + extra, used)


def _named_results(texts, groups, taken: set[str]) -> tuple[list[list[str] | None], list[str]]:
    """Long results get lines of their own, so that a return statement stays short."""
    lines: list[str] = []
    named = []
    for number, group in enumerate(texts):
        row = []
        for place, text in enumerate(group):
            if len(text) > 30:
                like = groups[number][place][2] if number < len(groups) else None
                name = _fresh(_result_name(like, number, place), taken)
                lines.append(f"{name} = {text}")
                text = name
            row.append(text)
        named.append(row)
    return named, lines


def _result_name(like: Var | str | None, number: int, place: int) -> str:
    """`S_new` for a state's new value; what has no name of its own is numbered."""
    if like is None:
        return f"result_{place}" if number == 0 else f"total_{place}"
    return f"{python_name(like if isinstance(like, str) else like.name)}_new"


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


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def _mentions(text: str, name: str) -> bool:
    return any(line.split(" = ")[1].split(".")[0] == name for line in text.splitlines())


def _place(let: Let) -> str:
    if let.temporary or let.span.source is NOWHERE.source:
        return ""
    return f"  # {Path(let.span.source.path).name}:{let.span.line}"


