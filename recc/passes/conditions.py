"""`conditions`: when a state keeps its value, and when what it held is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from recc.ir.nodes import Expr, Recurrence, Ref, Unary, Where
from recc.ir.traverse import names
from recc.passes.chain import Stage, stages
from recc.passes.drivers import Drivers


@dataclass(frozen=True)
class Condition:
    """A state is "kept" as it is, or "reset" to a value that does not depend on it, where `test` holds."""

    kind: Literal["kept", "reset"]
    test: Expr


def conditions(recurrence: Recurrence, state: str, drivers: Drivers) -> tuple[Condition, ...]:
    """The conditions on a single state's whole update, e.g. reset where `t % 4 == 0`.

    A state is kept only if all stages of its update keep it on the same condition; one stage resets it."""
    reader = _Reader(recurrence, state, drivers)
    found = [list(reader.of(stage)) for stage in stages(recurrence, state) if not reader.is_trivial(stage)]
    if not found:
        return ()
    kept = [item for item in found[0] if item.kind == "kept" and all(item in others for others in found)]
    return (*kept, *(item for stage in found for item in stage if item.kind == "reset"))


class _Reader:
    def __init__(self, recurrence: Recurrence, state: str, drivers: Drivers) -> None:
        self._drivers = drivers
        self._lets = {let.name: let for let in recurrence.lets}
        self._axes = {let.name: let.axes for let in recurrence.lets}
        self._axes |= {item.name: item.var.axes for item in recurrence.states}
        self._reading = {state}
        for let in recurrence.lets:
            if names(let.expr) & self._reading:
                self._reading.add(let.name)

    def is_trivial(self, stage: Stage) -> bool:
        return self._is_source(stage.expr, stage.source)

    def of(self, stage: Stage) -> Iterator[Condition]:
        match self._opened(stage.expr, stage.source):
            case Where(test, x, y) if not names(test) & self._reading and self._in_time(test):
                test = self._opened(test, stage.source)
                for side, other, holds in ((x, y, test), (y, x, Unary("not", test))):
                    if self._is_source(side, stage.source):
                        yield Condition("kept", holds)
                    elif not names(side) & self._reading and names(other) & self._reading:
                        yield Condition("reset", holds)
            case _:
                return

    def _in_time(self, test: Expr) -> bool:
        return self._drivers.of(names(test)) != "constant"

    def _is_source(self, expr: Expr, source: str) -> bool:
        return isinstance(expr, Ref) and expr.name == source and expr.index == self._axes[source]

    def _opened(self, expr: Expr, source: str) -> Expr:
        """What a name stands for, where it is read as it was defined."""
        while isinstance(expr, Ref) and expr.name != source and expr.name in self._lets:
            if self._lets[expr.name].axes != expr.index:
                return expr
            expr = self._lets[expr.name].expr
        return expr
