"""`hoist` takes what a scan's summaries need of inputs and params alone out of its steps."""

from __future__ import annotations

from dataclasses import replace

from recc.ir.nodes import Expr, Let, Recurrence, Ref, Var
from recc.ir.traverse import map_exprs, names, rewrite
from recc.passes.lower_scan import LevelPlan
from recc.passes.schedule import Schedule, Shapes, fits
from recc.passes.tidy import Namer, used_names


def hoist(
    plan: Schedule, levels: tuple[LevelPlan, ...], shapes: Shapes, in_steps: frozenset[str]
) -> tuple[Schedule, tuple[LevelPlan, ...]]:
    """The schedule with more definitions made before the steps, and the levels without them.

    `in_steps` are the definitions that the steps make for themselves: what reads them stays. In a step of `(r*q*P +
    b) / (c*P + d)`, the summary's `r*q` is made once a call."""
    work = _Hoisting(plan, shapes, in_steps)
    levels = tuple(replace(level, compose=work.without(level.compose)) for level in levels)
    constants, prepare = plan.constants + tuple(work.constants), plan.prepare + tuple(work.prepare)
    lets = (*constants, *prepare, *plan.step, *plan.finish)
    whole = replace(plan.recurrence, lets=lets)
    return replace(plan, recurrence=whole, constants=constants, prepare=prepare), levels


class _Hoisting:
    def __init__(self, plan: Schedule, shapes: Shapes, in_steps: frozenset[str]) -> None:
        recurrence = plan.recurrence
        self.constants: list[Let] = []
        self.prepare: list[Let] = []
        self._shapes = shapes
        self._namer = Namer(used_names(recurrence))
        self._fixed = {item.name for item in (*recurrence.params, *plan.constants)} - in_steps
        self._early = {item.name for item in (*recurrence.inputs, *plan.prepare)} | self._fixed
        self._in_steps = in_steps
        self._twins: dict[Expr, Let] = {}

    def without(self, compose: Recurrence) -> Recurrence:
        """A summary's step that reads the hoisted definitions as inputs and params."""
        moved: dict[str, str] = {}
        kept: list[Let] = []

        def current(expr: Expr) -> Expr:
            return _renamed(expr, moved) if names(expr) & moved.keys() else expr

        for let in compose.lets:
            let = replace(let, expr=current(let.expr))
            early = self._hoisted(let)
            if early is None:
                kept.append(let)
            else:
                moved[let.name] = early.name
        found = set(moved.values())
        return replace(
            map_exprs(replace(compose, lets=tuple(kept)), current),
            inputs=compose.inputs + tuple(_variable(let) for let in self.prepare if let.name in found),
            params=compose.params + tuple(_variable(let) for let in self.constants if let.name in found),
        )

    def _hoisted(self, let: Let) -> Let | None:
        """The definition before the steps that takes a definition's place; None if it has to stay."""
        read = names(let.expr)
        stays = let.name in self._in_steps or not read or not read <= self._early
        if stays or not (read <= self._fixed or fits(let.axes, self._shapes)):
            return None
        if let.expr in self._twins and self._twins[let.expr].axes == let.axes:
            return self._twins[let.expr]
        early = replace(let, name=self._namer(let.name))
        self._twins[let.expr] = early
        for stage, known in ((self.constants, self._fixed), (self.prepare, self._early)):
            if read <= known:
                stage.append(early)
                known.add(early.name)
                break
        self._early.add(early.name)
        return early


def _renamed(expr: Expr, moved: dict[str, str]) -> Expr:
    def rule(node: Expr) -> Expr:
        return replace(node, name=moved[node.name]) if isinstance(node, Ref) and node.name in moved else node

    return rewrite(expr, rule)


def _variable(let: Let) -> Var:
    return Var(let.name, tuple(axis.size for axis in let.axes), let.kind == "complex")
