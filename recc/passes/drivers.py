"""`Drivers`: what a value is computed from, and so whether it is the same at every step, or in every sequence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from recc.ir.nodes import Recurrence
from recc.ir.traverse import names
from recc.passes.stratify import reads

Driver = Literal["constant", "autonomous", "inputs"]


class Drivers:
    """The inputs, params and states on entry behind every name of a recurrence.

    `autonomous` are the states that no input ever reaches, the step number among them."""

    def __init__(self, recurrence: Recurrence) -> None:
        self._inputs = frozenset(var.name for var in recurrence.inputs)
        self._states = frozenset(recurrence.state_names)
        self._known = {var.name: frozenset({var.name}) for var in recurrence.variables}
        for let in recurrence.lets:
            self._known[let.name] = self.behind(names(let.expr))
        self.autonomous = self._autonomous(recurrence)

    def _autonomous(self, recurrence: Recurrence) -> frozenset[str]:
        sources = reads(recurrence)
        found = {name for name in self._states if not self.behind(names(recurrence.update_of(name))) & self._inputs}
        while driven := {name for name in found if not sources[name] <= found}:
            found -= driven
        return frozenset(found)

    def behind(self, used: Iterable[str]) -> frozenset[str]:
        """The variables that some names depend on within a step."""
        return frozenset().union(*(self._known.get(name, frozenset()) for name in used))

    def states_behind(self, used: Iterable[str]) -> frozenset[str]:
        """The states whose value on entry some names depend on."""
        return self.behind(used) & self._states

    def of(self, used: Iterable[str]) -> Driver:
        """ "constant": computed from params alone; "autonomous": from states that no input reaches; else "inputs"."""
        behind = self.behind(used)
        if not behind & (self._inputs | self._states):
            return "constant"
        return "inputs" if behind & (self._inputs | self._states) - self.autonomous else "autonomous"
