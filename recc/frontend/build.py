"""From the parser's tree to the syntax tree, with spans."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypeAlias

from recc.diagnostics import Findings, Source, Span
from recc.frontend import syntax as s

# Those of lark, which is imported only when something is parsed, and whose union of children no type checker follows.
Tree: TypeAlias = Any
Token: TypeAlias = Any

MAX_DEPTH = 100
_CHAINS = ("expr", "conj", "arith", "term", "power")


class TooDeep(Exception):
    """An expression is nested too deeply to be walked; the span is where."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span


def number_value(text: str) -> int | float | complex | None:
    """What a literal means, or None where it fits into no number (`1e999`, an integer of more than 64 bits)."""
    if text.endswith("j"):
        value = float(text[:-1])
        return complex(0, value) if math.isfinite(value) else None
    if text.isdecimal():
        return int(text) if len(text) < 20 and int(text) < 2**63 else None
    value = float(text)
    return value if math.isfinite(value) else None


class Builder:
    """Builds syntax nodes from the tree of a text that starts at `shift` in the source."""

    def __init__(self, source: Source, findings: Findings, shift: int = 0) -> None:
        self.source = source
        self.findings = findings
        self.shift = shift

    # --- places ---

    def span(self, first: Tree | Token, last: Tree | Token | None = None) -> Span:
        start, end = _ends(first)[0], _ends(first if last is None else last)[1]
        return Span(self.source, start + self.shift, end + self.shift)

    def bad(self, code: str, message: str, token: Tree | Token, hint: str = "") -> None:
        self.findings.add(code, message, self.span(token), hints=(hint,) if hint else ())

    # --- names and numbers ---

    def defined(self, token: Token) -> str:
        """A name that is given here."""
        if token in ("True", "False"):
            self.bad("E111", f"`{token}` cannot be a name", token)
        return str(token)

    def name(self, token: Token) -> s.Name:
        return s.Name(str(token), span=self.span(token))

    def number(self, token: Token) -> s.Number:
        text, value = str(token), number_value(token)
        if value is None:
            self.bad("E108", "this number is too large", token, "`inf` is infinity")
        if len(text) > 1 and text.isdecimal() and text[0] == "0" and int(text[:50]):
            self.bad("E108", "a whole number does not start with 0", token, f"write `{text.lstrip('0')}`")
        return s.Number(0 if value is None else value, text, span=self.span(token))

    def dims(self, shape: Tree | None) -> tuple[tuple[str | int, ...] | None, tuple[Span, ...]]:
        if shape is None:
            return None, ()
        tokens = [dim.children[0] for dim in shape.children]
        return tuple(self._dim(token) for token in tokens), tuple(self.span(token) for token in tokens)

    def _dim(self, token: Token) -> str | int:
        if token.type == "NAME":
            return self.defined(token)
        value = number_value(token)
        if not isinstance(value, int) or value < 1:
            self.bad("E113", "a size is a name or a whole number from 1", token)
            return 1
        return value

    # --- expressions ---

    def expr(self, tree: Tree) -> s.Expr:
        """An expression. Raises TooDeep if it cannot be walked without running out of stack."""
        deepest = _too_deep(tree)
        if deepest is not None:
            raise TooDeep(self.span(deepest))
        return self._expr(tree)

    def _expr(self, tree: Tree) -> s.Expr:
        if tree.data in _CHAINS:
            return self._chain(tree)
        return getattr(self, f"_{tree.data}")(tree)

    def _chain(self, tree: Tree) -> s.Expr:
        operands = tree.children[::2]
        left, first = self._expr(operands[0]), operands[0]
        for op, operand in zip(tree.children[1::2], operands[1:], strict=True):
            right = self._expr(operand)
            left = s.Binary(str(op), left, right, span=self.span(first, operand), op_span=self.span(op))
        return left

    def _name(self, tree: Tree) -> s.Name:
        return self.name(tree.children[0])

    def _number(self, tree: Tree) -> s.Number:
        return self.number(tree.children[0])

    def _unary(self, tree: Tree) -> s.Unary:
        op, operand = tree.children
        return s.Unary(str(op), self._expr(operand), span=self.span(tree))

    def _comparison(self, tree: Tree) -> s.Compare:
        left, op, right = tree.children
        return s.Compare(str(op), self._expr(left), self._expr(right), span=self.span(tree))

    def _index(self, tree: Tree) -> s.Index:
        base, items = tree.children
        return s.Index(self._expr(base), self._items(items), span=self.span(tree))

    def _items(self, tree: Tree) -> tuple[s.Expr, ...]:
        return tuple(self._expr(child) for child in tree.children)

    def _transpose(self, tree: Tree) -> s.Transpose:
        return s.Transpose(self._expr(tree.children[0]), span=self.span(tree))

    def _group(self, tree: Tree) -> s.Group:
        return s.Group(self._items(tree), span=self.span(tree))

    def _bracketed(self, tree: Tree) -> s.Expr:
        inner = self._expr(tree.children[0])
        return replace(inner, bracketed=True) if isinstance(inner, s.Binary) else inner

    def _call(self, tree: Tree) -> s.Call:
        func, given = tree.children
        args: list[s.Expr] = []
        kwargs: list[tuple[s.Name, s.Expr]] = []
        for arg in given.children if given is not None else ():
            if arg.data == "kwarg":
                kwargs.append((self.name(arg.children[0]), self._expr(arg.children[1])))
                continue
            if kwargs:
                self.bad("E110", "an argument without a name follows one with a name", arg, "move it to the front")
            args.append(self._expr(arg))
        return s.Call(self.name(func), tuple(args), tuple(kwargs), span=self.span(tree))

    # --- declarations ---

    def declare(self, kind: s.Kind, name: str, name_span: Span, tree: Tree) -> s.Declare:
        """A declaration of a name by what was written after it: `[shape] [type] [range] [place] [value]`."""
        shape, type_name, bounds, place, value = tree.children[-5:]
        dims, dim_spans = self.dims(shape)
        if type_name is not None and type_name != "complex":
            self.bad("E113", f"unknown type `{type_name}`", type_name, "only `complex` is ever said")
        return s.Declare(
            kind,
            name,
            dims,
            None if type_name is None else str(type_name),
            self._bounds(bounds),
            self._place(place),
            None if value is None else self.expr(value),
            span=name_span if tree.meta.empty else name_span.join(self.span(tree)),
            name_span=name_span,
            dim_spans=dim_spans,
            type_span=name_span if type_name is None else self.span(type_name),
        )

    def _bounds(self, tree: Tree | None) -> s.Bound | s.Interval | None:
        if tree is None:
            return None
        if tree.data == "bound":
            return s.Bound(str(tree.children[0]), self.expr(tree.children[1]), span=self.span(tree))
        opens, lo, hi, closes = tree.children
        return s.Interval(self.expr(lo), self.expr(hi), opens == "(", closes == ")", span=self.span(tree))

    def _place(self, tree: Tree | None) -> s.Place | None:
        if tree is None:
            return None
        name, to = tree.children if tree.data == "on" else (tree.children[0], None)
        return s.Place(tree.data, str(name), None if to is None else str(to), span=self.span(tree))


def _ends(branch: Tree | Token) -> tuple[int, int]:
    place = branch.meta if hasattr(branch, "meta") else branch
    return place.start_pos, place.end_pos


def _too_deep(tree: Tree) -> Tree | None:
    """The first subtree whose nesting is past the limit: a chain of n operands counts as n levels."""
    todo = [(tree, 0)]
    while todo:
        node, depth = todo.pop()
        if depth > MAX_DEPTH:
            return node
        children = [child for child in node.children if hasattr(child, "children")]
        levels = len(children) if node.data in _CHAINS else 1
        todo += [(child, depth + max(1, levels - at)) for at, child in enumerate(children)]
    return None
