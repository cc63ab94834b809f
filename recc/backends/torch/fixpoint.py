"""Fixed points: the step of each as a function of its own, and calls of what repeats it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import count

from recc.backends.torch.expression import Printer
from recc.backends.torch.functions import Argument, Context, Result, slots, write
from recc.backends.torch.layout import Text
from recc.ir.nodes import Expr, Fixpoint, Let, Ref, Var
from recc.ir.traverse import rewrite
from recc.passes.tidy import Namer


@dataclass
class Fixpoints:
    """Prints the fixed points of a module; `functions` are the texts of their steps, by name."""

    context: Context
    recurrence: str
    functions: dict[str, str] = field(default_factory=dict)

    def __call__(self, printer: Printer, node: Fixpoint) -> Text:
        """The call that solves a fixed point, over the axes of the node."""
        printer.helpers.add("solve_fixed_point")
        start = printer.tensor(node.start, node.unknown.axes)
        given = [printer.tensor(let.expr, let.axes) for let in node.given]
        inside = f"({', '.join(given)}{',' if len(given) == 1 else ''})"
        ending = f"features={len(node.index)}, tolerance={node.tolerance!r}, rounds={node.rounds}"
        if node.relative:
            ending += ", relative=True"
        what = f'what="`{node.unknown.name}` of {self.recurrence}"'
        return Text(f"solve_fixed_point({self._function(node)}, {start}, {inside}, {ending}, {what})", node.index)

    def _function(self, node: Fixpoint) -> str:
        """The name of the function that is a fixed point's step; equal steps have one."""
        node = _renumbered(node)
        body = write(self.context, node.lets, ((Result(node.result, node.unknown.axes, node.unknown),),))
        arguments = (Argument("unknown", slots((node.unknown,))), Argument("given", slots(_handed(node.given))))
        doc = f"The next value of `{node.unknown.name}`, which is solved for."
        for number in count(1):
            name = f"step_of_{node.unknown.name}{f'_{number}' if number > 1 else ''}"
            text = body.render(name, doc, arguments)
            if self.functions.setdefault(name, text) == text:
                return name
        raise AssertionError("there are more numbers")


def _renumbered(node: Fixpoint) -> Fixpoint:
    """The same step with its names numbered in order, so that equal steps are equal texts."""
    own = (*node.given, *node.lets)
    sizes = {str(axis.size) for let in own for axis in let.axes} | set(map(str, node.unknown.sizes))
    namer = Namer(sizes | {node.unknown.name})
    names = {let.name: namer(re.sub(r"(_\d+)+$", "", let.name)) for let in own} | {node.unknown.name: node.unknown.name}

    def renamed(expr: Expr) -> Expr:
        return rewrite(expr, lambda leaf: replace(leaf, name=names[leaf.name]) if isinstance(leaf, Ref) else leaf)

    given = tuple(replace(let, name=names[let.name]) for let in node.given)
    lets = tuple(replace(let, name=names[let.name], expr=renamed(let.expr)) for let in node.lets)
    return replace(node, given=given, lets=lets, result=renamed(node.result))


def _handed(given: tuple[Let, ...]) -> tuple[Var, ...]:
    return tuple(Var(let.name, tuple(axis.size for axis in let.axes), let.kind == "complex") for let in given)
