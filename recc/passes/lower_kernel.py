"""A recurrence's step as a kernel: definitions become loop nests that keep the state close."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from recc.diagnostics import NOWHERE
from recc.ir.kernel import Array, Assign, Element, Kernel, Loop, Port, Section
from recc.ir.kernel import Statement as Line
from recc.ir.nodes import Fixpoint, Let, Recurrence, Reduce, Ref, Size, State, Var
from recc.ir.traverse import names
from recc.passes.lower_kernel_complex import RealParts, real_parts
from recc.passes.lower_kernel_loops import Layout, loop_name, section
from recc.passes.lower_kernel_nests import deal_nests
from recc.passes.lower_kernel_products import factor_sums
from recc.passes.lower_kernel_statements import Program, Statement, expand_reductions
from recc.passes.order_axes import order_axes
from recc.passes.tidy import Namer, drop_unused, flatten, share, used_names

Ranks = dict[Size, int]


def axis_ranks(recurrence: Recurrence) -> Ranks:
    """How axes rank from outer loops to the innermost: those that the recurrence never sums over come last.

    Their lanes are independent of each other, so that they are what vectors are made of."""
    summed: dict[Size, int] = {}
    for let in flatten(recurrence).lets:
        over = let.expr.over if isinstance(let.expr, Reduce) else ()
        for axis in over if len(let.expr.axes) else ():
            summed[axis.size] = summed.get(axis.size, 0) + 1
    variables = [state.var for state in recurrence.states] + [*recurrence.params, *recurrence.inputs]
    variables.sort(key=lambda var: -len(var.sizes))
    order = dict.fromkeys(size for var in variables for size in var.sizes)
    ranked = sorted(order, key=lambda size: size not in summed)
    return {size: place for place, size in enumerate(ranked)}


def lower_kernel(
    recurrence: Recurrence, ranks: Ranks, *, separate: bool = False, stored: tuple[str, ...] = ()
) -> Kernel:
    """The kernel of one step of a recurrence (a primal or an adjoint).

    `stored` are inputs that lie as states do. With `separate` the kernel has no outputs, and its new states go to
    arrays of their own. Raises: `NotImplementedError` for a fixed point, a complex system of equations and a
    complex power."""
    return _Lowering(recurrence, ranks, separate, stored).kernel()


class _Lowering:
    def __init__(self, recurrence: Recurrence, ranks: Ranks, separate: bool, stored: tuple[str, ...]):
        self._name, self._ranks, self._separate = recurrence.name, ranks, separate
        if any(isinstance(let.expr, Fixpoint) for let in recurrence.lets):
            raise NotImplementedError("fixed points")
        if separate:
            recurrence = replace(recurrence, outputs=(), totals=())
        self._ports = recurrence
        self._parts: RealParts = real_parts(drop_unused(recurrence))
        flat = share(flatten(factor_sums(share(flatten(self._parts.recurrence)), ranks)))
        flat = drop_unused(expand_reductions(order_axes(flat, ranks)))
        self._flat = flat
        self._namer = Namer(used_names(flat))
        self._stored = {part for name in stored for part in self._parts.names[name]}
        self._orders = self._find_orders()
        self._fixed = self._constants()

    def kernel(self) -> Kernel:
        flat = self._flat
        self._targets = self._find_targets()
        early = [let for let in flat.lets if let.name in self._fixed]
        late = [let for let in flat.lets if let.name not in self._fixed]
        read = set().union(*(names(let.expr) for let in late), *(names(expr) for expr in self._results()))
        kept = {let.name for let in early if let.name in read}
        before_arrays, before = self._nests(early, [], kept, frozenset())
        step_arrays, step = self._nests(late, self._roots(), set(), frozenset())
        ports = self._ports
        return Kernel(
            self._name,
            self._port(ports.inputs, "input"),
            self._port(ports.params, "param"),
            self._port((state.var for state in ports.states), "state"),
            self._port((out.var for out in ports.outputs), "output"),
            self._port((out.var for out in ports.totals), "total"),
            (*self._own_arrays(), *before_arrays, *step_arrays),
            before,
            step,
            self._separate,
        )

    def _results(self):
        flat = self._flat
        return (*flat.updates, *(item.expr for item in flat.outputs), *(item.expr for item in flat.totals))

    def _find_orders(self) -> dict[str, tuple[int, ...]]:
        """States lie with the innermost axis last."""
        orders: dict[str, tuple[int, ...]] = {}
        states = [state.var for state in self._flat.states]
        states += [var for var in self._flat.inputs if var.name in self._stored]
        for var in states:
            places = list(range(len(var.sizes)))
            if len(set(var.sizes)) == len(places):
                places.sort(key=lambda place: self._ranks.get(var.sizes[place], len(self._ranks)))
            orders[var.name] = tuple(places)
        return orders

    def _constants(self) -> frozenset[str]:
        """Definitions that depend on params alone."""
        fixed = {var.name for var in self._flat.params}
        for let in self._flat.lets:
            if names(let.expr) <= fixed and names(let.expr):
                fixed.add(let.name)
        return frozenset(fixed)

    def _find_targets(self) -> dict[tuple[str, str], str]:
        targets: dict[tuple[str, str], str] = {}
        for state in self._flat.states:
            if self._separate:
                name = self._namer(f"{state.name}_next")
                targets["update", state.name] = name
                self._orders[name] = self._orders[state.name]
        for item in self._flat.outputs:
            targets["output", item.name] = self._namer(f"out_{item.name}")
        for item in self._flat.totals:
            targets["total", item.name] = self._namer(f"sum_{item.name}")
        return targets

    def _roots(self) -> list[Statement]:
        flat = self._flat
        roots = [
            Statement(state.name, state.var.axes, expr, role="update")
            for state, expr in zip(flat.states, flat.updates, strict=True)
            if not (isinstance(expr, Ref) and expr == state.var.ref() and not self._separate)
        ]
        roots += [Statement(item.name, item.var.axes, item.expr, role="output") for item in flat.outputs]
        return roots + [Statement(item.name, item.var.axes, item.expr, role="total") for item in flat.totals]

    def _nests(
        self, lets: list[Let], roots: list[Statement], kept: set[str], scalars: frozenset[str]
    ) -> tuple[list[Array], tuple[Line, ...]]:
        """The arrays that definitions need, and the sections that compute them; `kept` are read by later steps."""
        program = Program(lets, roots, kept)
        nests = deal_nests(program, self._separate)
        local = [item for nest in nests.nests for item in (*nest.kept, *nest.statements) if item.role == "let"]
        scalar = frozenset(item.target for item in local if not item.axes and item.target not in kept)
        targets = dict(self._targets)
        arrays: list[Array] = []
        tail: list[Line] = []
        for name in nests.waiting:
            state = next(state for state in self._flat.states if state.name == name)
            new = self._namer(f"{name}_new")
            self._orders[new] = self._orders[name]
            targets["update", name] = new
            arrays.append(Array(new, "local", self._lying(state.var)))
            tail.append(self._copied(state, new))
        for item in local:
            if item.target not in scalar:
                kind = "bool" if item.expr.kind == "bool" or item.combine == "any" else "real"
                arrays.append(Array(item.target, "local", tuple(axis.size for axis in item.axes), kind))
        layout = Layout(self._orders, scalar | scalars, self._ranks, targets)
        body = [section(program, nest, layout, self._namer, _line_of) for nest in nests.nests]
        return arrays, (*body, *tail)

    def _copied(self, state: State, new: str) -> Line:
        order = self._orders[state.name]
        axes = [state.var.axes[place] for place in order]
        at = tuple(loop_name(axis) for axis in axes)
        lines: Line = Assign(Element(state.name, at), Element(new, at))
        for axis in reversed(axes):
            lines = Loop(loop_name(axis), axis.size, (lines,), "vector" if axis is axes[-1] else "plain")
        return Section((lines,))

    def _lying(self, var: Var) -> tuple[Size, ...]:
        order = self._orders.get(var.name, range(len(var.sizes)))
        return tuple(var.sizes[place] for place in order)

    def _own_arrays(self) -> list[Array]:
        flat = self._flat
        arrays = [Array(var.name, "input", self._lying(var)) for var in flat.inputs]
        arrays += [Array(var.name, "param", var.sizes) for var in flat.params]
        arrays += [Array(state.name, "state", self._lying(state.var)) for state in flat.states]
        if self._separate:
            arrays += [
                Array(self._targets["update", state.name], "next", self._lying(state.var)) for state in flat.states
            ]
        arrays += [Array(self._targets["output", out.name], "output", out.var.sizes) for out in flat.outputs]
        return arrays + [Array(self._targets["total", out.name], "total", out.var.sizes) for out in flat.totals]

    def _port(self, variables: Iterable[Var], role: str) -> tuple[Port, ...]:
        return tuple(self._one_port(var, role) for var in variables)

    def _one_port(self, var: Var, role: str) -> Port:
        parts = self._parts.names[var.name]
        plain = tuple(range(len(var.sizes)))
        order = plain if role in ("output", "total") else self._orders.get(parts[0], plain)
        return Port(var.name, var.sizes, tuple(self._targets.get((role, part), part) for part in parts), order)


def _line_of(item: Statement) -> str:
    """The place in the spec that a statement comes from."""
    span = item.let.span if item.let is not None else item.expr.span
    path = re.sub(r"[^\w.-]", "_", span.source.path.replace("\\", "/").rpartition("/")[2])
    return "" if span.source is NOWHERE.source or item.let is not None and item.let.temporary else f"{path}:{span.line}"
