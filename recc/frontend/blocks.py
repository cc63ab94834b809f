"""From the parser's tree to the syntax tree: statements, recurrences and files."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from recc.diagnostics import Findings
from recc.frontend import syntax as s
from recc.frontend.build import Builder, Token, Tree


class FileBuilder(Builder):
    """Builds whole files; `Builder` has their expressions and declarations."""

    def file(self, tree: Tree) -> s.File:
        """The file of a `start` tree."""
        found: dict[str, list[Tree]] = {"import_": [], "def_": [], "recurrence": []}
        for child in tree.children:
            found[child.data].append(child)
        self.once([child.children[1] for child in found["recurrence"] + found["def_"]], "is defined twice in this file")
        return s.File(
            tuple(self._import(child) for child in found["import_"]),
            tuple(self._def_(child) for child in found["def_"]),
            tuple(self._recurrence(child) for child in found["recurrence"]),
            self.source,
        )

    def once(self, tokens: Iterable[Token], complaint: str) -> None:
        """Report names that are given a second time."""
        seen: dict[str, Token] = {}
        for token in sorted(tokens, key=lambda token: token.start_pos):
            first = seen.setdefault(str(token), token)
            if first is not token:
                note = f"`{token}` is first given in line {self.span(first).line}"
                self.findings.add("E112", f"`{token}` {complaint}", self.span(token), notes=(note,))

    def _import(self, tree: Tree) -> s.Import:
        dotted, *names = tree.children
        module = s.Name(".".join(dotted.children), span=self.span(dotted))
        return s.Import(module, tuple(self.name(name) for name in names), span=self.span(dotted, names[-1]))

    def _recurrence(self, tree: Tree) -> s.Recurrence:
        keyword, name, consts, coords, doc, *lines = tree.children
        constants = [const.children for const in consts.children] if consts is not None else []
        over = coords.children if coords is not None else []
        self.once([const for const, _ in constants], "is given twice")
        self.once(over, "is given twice")
        return s.Recurrence(
            self.defined(name),
            tuple((s.Name(self.defined(const), span=self.span(const)), self.expr(value)) for const, value in constants),
            tuple(self.defined(coordinate) for coordinate in over),
            "" if doc is None else inspect.cleandoc(doc[3:-3]),
            tuple(node for line in lines for node in self._line(line)),
            span=self.span(keyword, name),
            name_span=self.span(name),
            over_spans=tuple(self.span(coordinate) for coordinate in over),
        )

    def _line(self, tree: Tree) -> Iterable[s.Stmt | s.Declare]:
        if tree.data != "decls":
            return [self._statement(tree)]
        kind, *declared = tree.children
        names = [each.children[0] for each in declared]
        return [
            self.declare(kind.value, self.defined(name), self.span(name), each)
            for name, each in zip(names, declared, strict=True)
        ]

    # --- statements ---

    def _statement(self, tree: Tree) -> s.Stmt:
        return getattr(self, f"_{tree.data}")(tree)

    def _suite(self, trees: Iterable[Tree]) -> tuple[s.Stmt, ...]:
        return tuple(self._statement(tree) for tree in trees)

    def _target(self, tree: Tree) -> s.Target:
        name, items = tree.children
        places = None if items is None else tuple(self.expr(item) for item in items.children)
        return s.Target(self.defined(name), places, span=self.span(tree), name_span=self.span(name))

    def _values(self, tree: Tree) -> tuple[s.Expr, ...]:
        """The values of `x, y` and of `(x, y)`, which mean the same, as in Python."""
        values = tuple(self.expr(value) for value in tree.children)
        return values[0].items if len(values) == 1 and isinstance(values[0], s.Group) else values

    def _assign(self, tree: Tree) -> s.Assign:
        targets, values = tree.children
        return s.Assign(
            tuple(self._target(target) for target in targets.children), self._values(values), span=self.span(tree)
        )

    def _augment(self, tree: Tree) -> s.Augment:
        target, op, value = tree.children
        return s.Augment(self._target(target), str(op)[0], self.expr(value), span=self.span(tree))

    def _return_(self, tree: Tree) -> s.Return:
        return s.Return(self._values(tree.children[1]), span=self.span(tree))

    def _assert_(self, tree: Tree) -> s.Assert:
        return s.Assert(self.expr(tree.children[1]), span=self.span(tree))

    def _for_(self, tree: Tree) -> s.For:
        keyword, names, iterable, suite = tree.children
        self.once(names.children, "is given twice")
        return s.For(
            tuple(s.Name(self.defined(name), span=self.span(name)) for name in names.children),
            self.expr(iterable),
            self._suite(suite.children),
            span=self.span(keyword, iterable),
        )

    def _if_(self, tree: Tree) -> s.If:
        keyword, *parts, orelse = tree.children
        branches = zip(parts[::2], parts[1::2], strict=True)
        return s.If(
            tuple((self.expr(test), self._suite(suite.children)) for test, suite in branches),
            () if orelse is None else self._suite(orelse.children),
            span=self.span(keyword, parts[0]),
        )

    def _def_(self, tree: Tree) -> s.Def:
        keyword, name, args, *body = tree.children
        given = args.children if args is not None else []
        self.once([arg.children[0] for arg in given], "is given twice")
        return s.Def(
            self.defined(name),
            tuple(self._arg(arg) for arg in given),
            self._suite(part for part in body if hasattr(part, "data")),
            span=self.span(keyword, name),
            name_span=self.span(name),
        )

    def _arg(self, tree: Tree) -> s.Arg:
        name, shape = tree.children
        dims, dim_spans = self.dims(shape)
        return s.Arg(self.defined(name), dims, span=self.span(tree), name_span=self.span(name), dim_spans=dim_spans)


def check_returns(body: Iterable[s.Stmt | s.Declare], findings: Findings) -> None:
    """Report every `return` of a recurrence's body that is not in a `def`."""
    for node in body:
        if isinstance(node, s.Return):
            hint = "`output o = ...` says what comes out"
            findings.add("E113", "a recurrence does not return anything", node.span, hints=(hint,))
        elif isinstance(node, s.For):
            check_returns(node.body, findings)
        elif isinstance(node, s.If):
            for block in (*(block for _, block in node.branches), node.orelse):
                check_returns(block, findings)
