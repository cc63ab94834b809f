"""Declarations and statements of a decorated function: from Python's own syntax tree to ours; nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NoReturn, TypeVar

from recc.diagnostics import Span
from recc.frontend import syntax as s
from recc.frontend.build import Builder, TooDeep, Tree
from recc.frontend.parse import parse_annotation
from recc.frontend.python_expressions import ExpressionReader, Refused
from recc.frontend.signs import CALL_HINT, PRINT_HINT

KINDS: dict[str, s.Kind] = {"In": "input", "Param": "param", "State": "state", "Out": "output"}
T = TypeVar("T")

_AUGMENTED = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_INPUT_HINT = 'write `{name}: In`, `{name}: In["[K]"]`, `Param[...]` or `State[...]`'
_NO_VALUE_HINT = 'a state\'s start stands in its annotation, as in `State["= 0"]`; a constant after `*`'


class BodyReader(ExpressionReader):
    """Reads the signature and the body of a function."""

    # --- declarations ---

    def marker(self, node: ast.expr | None) -> tuple[s.Kind, ast.expr | None] | None:
        """What an annotation says if it is `In`, `recc.State["..."]` and so on: the kind and the text's node."""
        if isinstance(node, ast.Subscript):
            inner = self.marker(node.value)
            return None if inner is None or inner[1] is not None else (inner[0], node.slice)
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        return (KINDS[name], None) if name in KINDS else None

    def declared(self, name: str, name_span: Span, annotation: ast.expr | None) -> s.Declare | None:
        """The declaration that an annotation makes, or None if it makes none."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            return self._quoted(name, name_span, annotation)
        found = self.marker(annotation)
        if found is None:
            return None
        self.check_name(name, name_span)
        kind, text = found
        if text is None:
            return s.Declare(kind, name, span=name_span, name_span=name_span, type_span=name_span)
        builder, tree = self._annotation(text)
        try:
            return builder.declare(kind, name, name_span, tree)
        except TooDeep as error:
            self.refuse("E107", "this expression is nested too deeply", error.span)

    def _quoted(self, name: str, name_span: Span, node: ast.Constant) -> s.Declare | None:
        """A declaration of which the annotation stands in quotation marks as a whole."""
        span = self._literal(node)
        try:
            inner = ast.parse(span.text, mode="eval").body
        except (SyntaxError, ValueError):
            return None
        reader = BodyReader(self.source, self.findings, origin=span.start)
        return None if isinstance(inner, ast.Constant) else reader.declared(name, name_span, inner)

    def _annotation(self, node: ast.expr) -> tuple[Builder, Tree]:
        """The parser's tree of the text in `In["..."]`, with what builds nodes of it."""
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            hint = 'what a `.rec` file writes after the name, as in `In["[K]"]`'
            self.refuse("E122", "a string is expected here", self.span(node), hint)
        place = self._literal(node)
        tree = parse_annotation(self.source, place.start, place.end, self.findings)
        if tree is None:
            raise Refused
        return Builder(self.source, self.findings, shift=place.start), tree

    def _literal(self, node: ast.Constant) -> Span:
        """The inside of a string literal. Refused if it is not spelled as it reads: with escapes, or in pieces."""
        span = self.span(node)
        for quote in ('"""', "'''", '"', "'"):
            inside = Span(self.source, span.start + len(quote), span.end - len(quote))
            if span.text.startswith(quote) and span.text.endswith(quote) and inside.text == node.value:
                return inside
        self.refuse("E122", "this must be one plain string", span, "without a prefix, escapes or several pieces")

    def signature(self, args: ast.arguments) -> tuple[list[tuple[s.Name, s.Expr]], list[s.Declare]]:
        """A recurrence's constants and declarations; what is refused is reported and left out."""
        constants, declared = [], []
        positional = [*args.posonlyargs, *args.args]
        defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
        for arg, default in zip(positional, defaults, strict=True):
            try:
                declared.append(self._argument(arg, default))
            except Refused:
                continue
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
            try:
                constants.append(self._constant_argument(arg, default))
            except Refused:
                continue
        for arg in filter(None, (args.vararg, args.kwarg)):
            self.findings.add("E122", "every input has a name of its own", self.span(arg))
        return constants, declared

    def _argument(self, arg: ast.arg, default: ast.expr | None) -> s.Declare:
        name_span = self._name_span(arg)
        if default is not None:
            self.refuse("E122", f"`{arg.arg}` has no value here", self.span(default), _NO_VALUE_HINT)
        declared = self.declared(arg.arg, name_span, arg.annotation)
        if declared is None:
            hint = _INPUT_HINT.format(name=arg.arg)
            self.refuse("E122", f"`{arg.arg}` is not declared", self.span(arg), hint)
        if declared.kind == "output":
            hint = f'`{arg.arg}: Out["[K]"] = ...` in the body'
            self.refuse("E122", f"the output `{arg.arg}` is not an argument", self.span(arg), hint)
        return declared

    def _constant_argument(self, arg: ast.arg, default: ast.expr | None) -> tuple[s.Name, s.Expr]:
        name = self.name(arg.arg, self._name_span(arg))
        if arg.annotation is not None and self.marker(arg.annotation):
            hint = "only constants stand after `*`"
            self.refuse("E122", f"`{arg.arg}` stands in the wrong place", self.span(arg), hint)
        if default is None:
            self.refuse("E122", f"the constant `{arg.arg}` has no value", self.span(arg), f"`{arg.arg}=1`")
        value = self.expr(default)
        if not isinstance(value.operand if isinstance(value, s.Unary) else value, s.Number):
            self.refuse("E122", "a constant is a number", self.span(default))
        return name, value

    def _name_span(self, arg: ast.arg) -> Span:
        start = self.span(arg).start
        match = re.compile(r"\w+").match(self.source.text, start)
        return Span(self.source, start, match.end() if match else start)

    # --- statements ---

    def block(self, nodes: Iterable[ast.stmt]) -> tuple[s.Stmt | s.Declare, ...]:
        """A recurrence's statements; those that are refused are reported and left out."""
        return self._each(
            nodes, lambda node: self._output(node) if isinstance(node, ast.AnnAssign) else self._statement(node)
        )

    def _inner(self, nodes: Iterable[ast.stmt]) -> tuple[s.Stmt, ...]:
        """The statements of an inner block, in which nothing is declared."""
        return self._each(nodes, self._statement)

    @staticmethod
    def _each(nodes: Iterable[ast.stmt], read: Callable[[ast.stmt], T]) -> tuple[T, ...]:
        kept: list[T] = []
        for node in nodes:
            try:
                kept.append(read(node))
            except Refused:
                continue
        return tuple(kept)

    def _statement(self, node: ast.stmt) -> s.Stmt:
        read = getattr(self, f"_on_{type(node).__name__.lower()}", None)
        if read is None:
            self.word(node)
        return read(node)

    def _on_annassign(self, node: ast.AnnAssign) -> NoReturn:
        if self.marker(node.annotation):
            message = "a declaration stands at the level of the recurrence, not inside of a block"
            self.refuse("E113", message, self.span(node))
        self._refuse_type(node)

    def _refuse_type(self, node: ast.AnnAssign) -> NoReturn:
        message = "only inputs, params, states and outputs are declared"
        self.refuse("E113", message, self.span(node.annotation), "leave the type out")

    def _output(self, node: ast.AnnAssign) -> s.Declare:
        target = node.target
        if not isinstance(target, ast.Name):
            self.refuse("E113", "only a name is declared", self.span(target))
        declared = self.declared(target.id, self.span(target), node.annotation)
        if declared is None:
            self._refuse_type(node)
        if declared.kind != "output":
            self.refuse("E122", f"the {declared.kind} `{target.id}` stands in the signature", self.span(node))
        if node.value is None:
            return declared
        if declared.value is not None:
            self.refuse("E122", f"`{target.id}` is given two values", self.span(node.value))
        return replace(declared, value=self.expr(node.value), span=self.span(node))

    def _targets(self, node: ast.expr) -> tuple[s.Target, ...]:
        return tuple(self._target(each) for each in node.elts) if isinstance(node, ast.Tuple) else (self._target(node),)

    def _target(self, node: ast.expr) -> s.Target:
        base = node.value if isinstance(node, ast.Subscript) else node
        if not isinstance(base, ast.Name):
            self.refuse("E114", "only a name, or a part of one, can be assigned", self.span(node))
        self.check_name(base.id, self.span(base))
        items = self.items(node.slice) if isinstance(node, ast.Subscript) else None
        return s.Target(base.id, items, span=self.span(node), name_span=self.span(base))

    def _values(self, node: ast.expr) -> tuple[s.Expr, ...]:
        value = self.expr(node)
        return value.items if isinstance(value, s.Group) else (value,)

    def _on_assign(self, node: ast.Assign) -> s.Assign:
        if len(node.targets) > 1:
            hint = "`==` compares; a value of its own goes on a line of its own"
            self.refuse("E114", "`=` stands once in an equation", self.sign("=", node.targets[1]), hint)
        return s.Assign(self._targets(node.targets[0]), self._values(node.value), span=self.span(node))

    def _on_augassign(self, node: ast.AugAssign) -> s.Augment:
        op = _AUGMENTED.get(type(node.op))
        if op is None:
            where = self.sign("", node.target)
            sign = self.source.text[where.start :].split("=")[0]
            name = self.span(node.target).text
            span = Span(self.source, where.start, where.start + len(sign) + 1)
            self.refuse("E114", f"`{sign}=` is not part of the language", span, f"write `{name} = {name} {sign} ...`")
        return s.Augment(self._target(node.target), op, self.expr(node.value), span=self.span(node))

    def _on_return(self, node: ast.Return) -> s.Return:
        if node.value is None:
            self.refuse("E110", "expected an expression, found the end of the line", self.span(node))
        return s.Return(self._values(node.value), span=self.span(node))

    def _on_assert(self, node: ast.Assert) -> s.Assert:
        if node.msg is not None:
            self.refuse("E114", "an `assert` has no message", self.span(node.msg), "write it as a comment")
        return s.Assert(self.expr(node.test), span=self.span(node))

    def _on_for(self, node: ast.For) -> s.For:
        if node.orelse:
            self.refuse("E114", "a `for` has no `else`", self.span(node.orelse[0]))
        names = node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]
        for name in names:
            if not isinstance(name, ast.Name):
                self.refuse("E114", "a loop counter is a name", self.span(name))
        header = Span(self.source, self.span(node).start, self.span(node.iter).end)
        read = tuple(self.name(name.id, self.span(name)) for name in names if isinstance(name, ast.Name))
        return s.For(read, self.expr(node.iter), self._inner(node.body), span=header)

    def _on_if(self, node: ast.If) -> s.If:
        header = Span(self.source, self.span(node).start, self.span(node.test).end)
        branches = [(self.expr(node.test), self._inner(node.body))]
        orelse = node.orelse
        while len(orelse) == 1 and isinstance(orelse[0], ast.If) and self.span(orelse[0]).text.startswith("elif"):
            branches.append((self.expr(orelse[0].test), self._inner(orelse[0].body)))
            orelse = orelse[0].orelse
        return s.If(tuple(branches), self._inner(orelse), span=header)

    def _on_expr(self, node: ast.Expr) -> s.Stmt:
        value = node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            name = value.func.id
            hint = PRINT_HINT if name == "print" else CALL_HINT
            self.refuse("E111", f"a call of `{name}` on its own does nothing", self.span(node), hint)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            message = "a docstring stands only at the start of a recurrence or `def`"
            self.refuse("E106", message, self.span(node), "`#` starts a comment")
        self.expr(value)
        self.refuse("E110", "an expression on its own does nothing", self.span(node), CALL_HINT)

    def _on_functiondef(self, node: ast.FunctionDef) -> s.Def:
        if node.decorator_list:
            self.refuse("E114", "a helper has no decorator", self.span(node.decorator_list[0]))
        args = node.args
        extra = [
            *args.defaults,
            *filter(None, args.kw_defaults),
            *args.kwonlyargs,
            *filter(None, (args.vararg, args.kwarg)),
        ]
        if extra:
            self.refuse("E110", "the arguments of a `def` are names, without defaults", self.span(extra[0]))
        given = tuple(self._arg(arg) for arg in [*args.posonlyargs, *args.args])
        name_span = def_name(self, node)
        self.check_name(node.name, name_span)
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        header = Span(self.source, self.span(node).start, name_span.end)
        return s.Def(node.name, given, self._inner(body), span=header, name_span=name_span)

    def _arg(self, arg: ast.arg) -> s.Arg:
        name_span = self._name_span(arg)
        self.check_name(arg.arg, name_span)
        if arg.annotation is None:
            return s.Arg(arg.arg, span=name_span, name_span=name_span)
        builder, tree = self._annotation(arg.annotation)
        shape, *others = tree.children
        if any(other is not None for other in others):
            self.refuse("E122", "only axes are written here", self.span(arg.annotation), '`S: "[K, V]"`')
        dims, dim_spans = builder.dims(shape)
        return s.Arg(arg.arg, dims, span=self.span(arg), name_span=name_span, dim_spans=dim_spans)


def def_name(reader: ExpressionReader, node: ast.FunctionDef) -> Span:
    """Where the name of a function stands."""
    start = reader.span(node).start
    match = re.compile(r"def[\s\\]+(\w+)").match(reader.source.text, start)
    return Span(reader.source, *match.span(1)) if match else Span(reader.source, start, start)
