"""Fixed points: the step of each as a function of its own, and calls of what repeats it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from recc.backends.torch.expression import Printer, Text
from recc.backends.torch.functions import Argument, Context, Result, slots, write
from recc.ir.nodes import Fixpoint, Let, Var


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
        body = write(self.context, node.lets, ((Result(node.result, node.unknown.axes, node.unknown),),))
        arguments = (Argument("unknown", slots((node.unknown,))), Argument("given", slots(_handed(node.given))))
        doc = f"The next value of `{node.unknown.name}`, which is solved for."
        for number in count(1):
            name = f"step_of_{node.unknown.name}{f'_{number}' if number > 1 else ''}"
            text = body.render(name, doc, arguments)
            if self.functions.setdefault(name, text) == text:
                return name
        raise AssertionError("there are more numbers")


def _handed(given: tuple[Let, ...]) -> tuple[Var, ...]:
    return tuple(Var(let.name, tuple(axis.size for axis in let.axes), let.kind == "complex") for let in given)
