"""Expressions of a decorated function: from Python's own syntax tree to ours; nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from recc.diagnostics import Findings, Source, Span
from recc.frontend import syntax as s
from recc.frontend.build import MAX_DEPTH, number_value
from recc.frontend.signs import (
    ATTRIBUTE_HINT,
    CHAIN_HINT,
    CHOICE_HINT,
    SIGN_HINTS,
    SLICE_HINT,
    WORD_HINTS,
    foreign_name,
)

_BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.MatMult: "@",
    ast.Pow: "**",
    ast.BitXor: "^",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_UNARY = {ast.UAdd: "+", ast.USub: "-", ast.Not: "not", ast.Invert: "~"}
_COMPARE = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_FOREIGN = {
    ast.List: "a list",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.Starred: "`*`",
    ast.JoinedStr: "a formatted string",
}
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?j?")


class Refused(Exception):
    """A statement is not part of the language; why has been reported."""


class ExpressionReader:
    """Reads expressions. `origin` is where in the source the parsed Python text begins."""

    def __init__(self, source: Source, findings: Findings, origin: int = 0) -> None:
        self.source = source
        self.findings = findings
        self.origin = origin

    # --- places ---

    def offset(self, line: int, column: int) -> int:
        """The character offset of a place that Python gives as a line and a column of UTF-8 bytes."""
        if self.origin:
            before = self.source.text[self.origin : self.origin + column]
            return self.origin + len(before.encode()[:column].decode(errors="replace"))
        start, end = self.source.line_bounds(line)
        text = self.source.text[start:end]
        return start + (column if text.isascii() else len(text.encode()[:column].decode(errors="replace")))

    def span(self, node: ast.expr | ast.stmt | ast.arg | ast.keyword) -> Span:
        start = self.offset(node.lineno, node.col_offset)
        return Span(self.source, start, self.offset(node.end_lineno or node.lineno, node.end_col_offset or start))

    def refuse(self, code: str, message: str, span: Span, hint: str = "") -> NoReturn:
        """Report a finding and give up the present statement."""
        self.findings.add(code, message, span, hints=(hint,) if hint else ())
        raise Refused

    def word(self, node: ast.expr | ast.stmt) -> NoReturn:
        """Refuse a construct by the word that it begins with."""
        start = self.span(node).start
        match = re.compile(r"[a-z]+").match(self.source.text, start)
        word = match.group() if match else ""
        message = f"`{word}` is a word of Python that is not part of the language"
        self.refuse("E111", message, Span(self.source, start, start + len(word)), WORD_HINTS.get(word, ""))

    # --- expressions ---

    def expr(self, node: ast.expr) -> s.Expr:
        """An expression. Raises Refused, after a report, if it is not part of the language."""
        todo: list[tuple[ast.AST, int]] = [(node, 0)]
        while todo:
            part, depth = todo.pop()
            if depth > MAX_DEPTH:
                self.refuse("E107", "this expression is nested too deeply", self.span(node), "give parts of it names")
            todo += [(child, depth + 1) for child in ast.iter_child_nodes(part)]
        return self._expr(node)

    def _expr(self, node: ast.expr) -> s.Expr:
        read = getattr(self, f"_on_{type(node).__name__.lower()}", None)
        if read is not None:
            return read(node)
        if what := _FOREIGN.get(type(node)):
            code = "E106" if isinstance(node, ast.JoinedStr) else "E114"
            self.refuse(code, f"{what} cannot stand here", self.span(node))
        self.word(node)

    def _on_name(self, node: ast.Name) -> s.Name:
        return self.name(node.id, self.span(node))

    def name(self, name: str, span: Span) -> s.Name:
        """A name as it is written in the source: Python has normalised the letters of `name`."""
        self.check_name(name, span)
        return s.Name(name, span=span)

    def check_name(self, name: str, span: Span) -> None:
        if not span.text.isascii() or not name.isascii():
            message, hint = foreign_name(span.text)
            self.refuse("E103", message, span, hint)

    def _on_constant(self, node: ast.Constant) -> s.Expr:
        span, value = self.span(node), node.value
        if isinstance(value, bool):
            return s.Name(str(value), span=span)
        if isinstance(value, (str, bytes)):
            self.refuse("E106", "strings are not part of the language", span, "`#` starts a comment")
        if not isinstance(value, (int, float, complex)):
            self.refuse("E111", f"`{span.text}` is not part of the language", span)
        if not _NUMBER.fullmatch(span.text):
            self.refuse("E108", f"`{span.text}` is not a number", span, "numbers are decimal")
        number = number_value(span.text)
        if number is None:
            self.refuse("E108", "this number is too large", span, "`inf` is infinity")
        return s.Number(number, span.text, span=span)

    def _operand(self, parent: ast.expr, node: ast.expr) -> s.Expr:
        """A part of an operation; a product or a sum remembers whether it stood in brackets."""
        inner = self._expr(node)
        if not isinstance(inner, s.Binary):
            return inner
        outside, inside = self.span(parent), self.span(node)
        before = self.source.text[outside.start : inside.start].rstrip()
        after = self.source.text[inside.end : outside.end].lstrip()
        return replace(inner, bracketed=before.endswith("(") and after.startswith(")"))

    def sign(self, op: str, after: ast.expr) -> Span:
        """Where an operator stands that follows an operand."""
        match = re.compile(r"(?:[\s)\\]|#[^\n]*\n)*").match(self.source.text, self.span(after).end)
        start = match.end() if match else self.span(after).end
        return Span(self.source, start, start + len(op))

    def _on_binop(self, node: ast.BinOp) -> s.Binary:
        op = _BINARY[type(node.op)]
        where = self.sign(op, node.left)
        if op in SIGN_HINTS or op in ("<<", ">>"):
            self.refuse("E103", f"`{op}` is not part of the language", where, SIGN_HINTS.get(op, ""))
        left, right = self._operand(node, node.left), self._operand(node, node.right)
        return s.Binary(op, left, right, span=self.span(node), op_span=where)

    def _on_boolop(self, node: ast.BoolOp) -> s.Expr:
        op = "and" if isinstance(node.op, ast.And) else "or"
        start, left = self.span(node).start, self._operand(node, node.values[0])
        for before, value in zip(node.values, node.values[1:], strict=False):
            right, where = self._operand(node, value), self.sign(op, before)
            end = self.span(node).end if value is node.values[-1] else right.span.end
            left = s.Binary(op, left, right, span=Span(self.source, start, end), op_span=where)
        return left

    def _on_unaryop(self, node: ast.UnaryOp) -> s.Unary:
        op, span = _UNARY[type(node.op)], self.span(node)
        if op == "~":
            where = Span(self.source, span.start, span.start + 1)
            self.refuse("E103", "`~` is not part of the language", where, SIGN_HINTS[op])
        return s.Unary(op, self._operand(node, node.operand), span=span)

    def _on_compare(self, node: ast.Compare) -> s.Compare:
        op = _COMPARE[type(node.ops[0])]
        if len(node.ops) > 1:
            second = _COMPARE[type(node.ops[1])]
            self.refuse("E114", "comparisons cannot be chained", self.sign(second, node.comparators[0]), CHAIN_HINT)
        if op.isalpha() or " " in op:
            where = self.sign(op, node.left)
            self.refuse("E114", f"`{op}` does not compare", where, "`==` and `!=` do")
        left, right = self._operand(node, node.left), self._operand(node, node.comparators[0])
        return s.Compare(op, left, right, span=self.span(node))

    def _on_call(self, node: ast.Call) -> s.Call:
        if not isinstance(node.func, ast.Name):
            attribute = isinstance(node.func, ast.Attribute)
            message = "a value has no attributes" if attribute else "only a function's name can be called"
            self.refuse("E114", message, self.span(node.func), ATTRIBUTE_HINT if attribute else "")
        args = tuple(self._expr(arg) for arg in node.args)
        kwargs = tuple(self._keyword(each) for each in node.keywords)
        return s.Call(self._on_name(node.func), args, kwargs, span=self.span(node))

    def _keyword(self, node: ast.keyword) -> tuple[s.Name, s.Expr]:
        if node.arg is None:
            self.refuse("E114", "`**` cannot stand here", self.span(node))
        start = self.span(node).start
        return self.name(node.arg, Span(self.source, start, start + len(node.arg))), self._expr(node.value)

    def _on_subscript(self, node: ast.Subscript) -> s.Index:
        return s.Index(self._operand(node, node.value), self.items(node.slice), span=self.span(node))

    def items(self, node: ast.expr) -> tuple[s.Expr, ...]:
        """What stands in the brackets of an index."""
        parts = node.elts if isinstance(node, ast.Tuple) else [node]
        for part in parts:
            if isinstance(part, ast.Slice):
                self.refuse("E114", "there are no slices", self.span(part), SLICE_HINT)
        return self._several(node, parts)

    def _on_attribute(self, node: ast.Attribute) -> s.Transpose:
        if node.attr != "T":
            end = self.span(node).end
            where = Span(self.source, end - len(node.attr) - 1, end)
            self.refuse("E114", "a value has no attributes", where, ATTRIBUTE_HINT)
        return s.Transpose(self._operand(node, node.value), span=self.span(node))

    def _on_tuple(self, node: ast.Tuple) -> s.Group:
        return s.Group(self._several(node, node.elts), span=self.span(node))

    def _several(self, node: ast.expr, parts: Sequence[ast.expr]) -> tuple[s.Expr, ...]:
        if not parts:
            self.refuse("E114", "an empty tuple cannot stand here", self.span(node))
        return tuple(self._expr(part) for part in parts)

    def _on_ifexp(self, node: ast.IfExp) -> NoReturn:
        self.refuse("E114", "`if` does not choose inside of an expression", self.sign("if", node.body), CHOICE_HINT)

    def _on_namedexpr(self, node: ast.NamedExpr) -> NoReturn:
        hint = "a value of its own goes on a line of its own"
        self.refuse("E114", "`:=` is not part of the language", self.sign(":=", node.target), hint)
