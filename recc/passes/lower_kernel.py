"""A recurrence's step as a kernel: definitions become loop nests that keep the state close."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from recc.diagnostics import NOWHERE
from recc.ir.kernel import (
    ROWS,
    Array,
    Assign,
    Define,
    Element,
    Epsilon,
    Kernel,
    Local,
    Loop,
    Meeting,
    Missed,
    Number,
    Operation,
    Port,
    Repeat,
    Section,
)
from recc.ir.kernel import Statement as Line
from recc.ir.nodes import Fixpoint, Let, Recurrence, Ref, Size, Var
from recc.ir.traverse import names
from recc.passes.lower_kernel_loops import Layout, loop_name, section
from recc.passes.lower_kernel_nests import deal_nests
from recc.passes.lower_kernel_rounds import UNITS, rounds_of
from recc.passes.lower_kernel_rows import Block, block_of_rows, constants
from recc.passes.lower_kernel_shared import without
from recc.passes.lower_kernel_statements import Program, Statement
from recc.passes.lower_kernel_tasks import prepare
from recc.passes.tidy import Namer, used_names

Ranks = dict[Size, int]


class Lowering:
    """The lowering of one recurrence (a primal or an adjoint) to a kernel.

    `stored` are inputs that lie as states do. If it is `separate` the kernel has no outputs, and its new states go to
    arrays of their own; with `block` it is a step of several rows."""

    def __init__(self, recurrence: Recurrence, ranks: Ranks, separate: bool, stored: tuple[str, ...], block: bool):
        self._name, self._ranks, self._separate = recurrence.name, ranks, separate
        if separate:
            recurrence = replace(recurrence, outputs=(), totals=())
        self._ports = recurrence
        prepared = prepare(recurrence, ranks)
        self._parts, self.flat, self.tasks = prepared.parts, prepared.flat, prepared.tasks
        self._stored = {part for name in stored for part in self._parts.names[name]}
        self._is_block = block
        read = frozenset[str]().union(*(names(part) for task in self.tasks for part in task.read))
        plain = Block(self.flat, frozenset(), (), constants(self.flat, numbers=False), read)
        self.block = self._widened() if block else plain
        self._flat, self._fixed = self.block.recurrence, self.block.fixed
        self._namer = Namer(used_names(self._flat) | {name for task in self.tasks for name in task.targets})
        self._orders = self._find_orders()
        self._outputs = self._flat.outputs
        self._exported: frozenset[str] = frozenset()  # what is read of a step's memory from outside of it
        self.kept: tuple[str, ...] = ()
        self._given: list[Let] = []
        self._missed: list[Missed] = []

    def _widened(self) -> Block:
        """The recurrence of a block of rows. A total's parts are all sums of outer products, or none is."""
        splits: set[str] = set()
        while True:
            block = block_of_rows(self.flat, self._ranks, self._stored, splits)
            outer = {item.total for item in block.outers}
            parts = [set(self._parts.results[item.name]) for item in self._ports.totals]
            mixed = [own for own in parts if own & outer and not own <= outer]
            if not mixed:
                self._ranks = {ROWS: -1, **self._ranks}
                return block
            splits = splits.union(*mixed)

    def keep(self, wanted: Iterable[str]) -> None:
        """Values that this kernel computes are stored for another."""
        self.kept = tuple(wanted)

    def take(self, known: list[str]) -> None:
        """Values that another kernel has kept are not computed by this one."""
        made = {let.name: let for let in self._flat.lets}
        self.kept, self._given = tuple(known), [made[name] for name in known]
        self._replace(without(self.block, known))

    def _replace(self, block: Block) -> None:
        self.block, self._flat = block, block.recurrence

    def kernel(self) -> Kernel:
        flat = self._flat
        self._targets = self._find_targets()
        early = [let for let in flat.lets if let.name in self._fixed]
        late = [let for let in flat.lets if let.name not in self._fixed]
        read = set().union(*(names(let.expr) for let in late), *(names(expr) for expr in self._results()))
        kept = {let.name for let in early if let.name in read}
        factors = {name for item in self.block.outers for name in (item.x, item.y)}
        before_arrays, before = self._nests(early, [], kept, frozenset())
        stored = factors.union(self._exported, () if self._given else self.kept)
        step_arrays, step = self._nests(late, [*self.tasks, *self._roots()], stored, frozenset())
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
            self._is_block,
            tuple(replace(item, total=self._targets["total", item.total]) for item in self.block.outers),
            self.kept,
            tuple(self._missed),
        )

    def _results(self):
        flat = self._flat
        given = (part for task in self.tasks for part in task.read)
        return (*flat.updates, *(item.expr for item in flat.outputs), *(item.expr for item in flat.totals), *given)

    def _find_orders(self) -> dict[str, tuple[int, ...]]:
        """States lie with the innermost axis last, and so do sums over time."""
        orders: dict[str, tuple[int, ...]] = {}
        states = [state.var for state in self._flat.states]
        states += [var for var in self._flat.inputs if var.name in self._stored]
        for var in states:
            orders[var.name] = self._innermost_last(var)
        return orders | self._orders_of(self.tasks)

    def _orders_of(self, tasks: tuple[Statement, ...]) -> dict[str, tuple[int, ...]]:
        return {var.name: self._innermost_last(var) for task in tasks if task.repeats for var in _made(task)}

    def _innermost_last(self, var: Var) -> tuple[int, ...]:
        places = list(range(len(var.sizes)))
        if len(set(var.sizes)) == len(places):
            places.sort(key=lambda place: self._ranks.get(var.sizes[place], len(self._ranks)))
        return tuple(places)

    def _find_targets(self) -> dict[tuple[str, str], str]:
        targets: dict[tuple[str, str], str] = {}
        for state in self._flat.states:
            if self._separate:
                name = self._namer(f"{state.name}_next")
                targets["update", state.name] = name
                self._orders[name] = self._orders[state.name]
        for item in self._outputs:
            targets["output", item.name] = self._namer(f"out_{item.name}")
        for item in self._flat.totals:
            name = targets["total", item.name] = self._namer(f"sum_{item.name}")
            self._orders[name] = self._innermost_last(item.var)
        for name in dict.fromkeys(item.total for item in self.block.outers):
            targets["total", name] = self._namer(f"sum_{name}")
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
        self,
        lets: list[Let],
        roots: list[Statement],
        kept: set[str],
        scalars: frozenset[str],
        unknowns: tuple[Var, ...] = (),
    ) -> tuple[list[Array], tuple[Line, ...]]:
        """The arrays that definitions need, and the sections that compute them; `kept` are read by later steps. In a
        round of a fixed point the `unknowns` are what states are in a step."""
        program = Program(lets, roots, kept, self.block.products)
        nests = deal_nests(program, self._separate and not unknowns)
        states = unknowns or tuple(state.var for state in self._flat.states)
        local = [item for nest in nests.nests for item in (*nest.kept, *nest.statements) if item.role == "let"]
        scalar = frozenset(
            item.target for item in local if not item.axes and not item.repeats and item.target not in kept
        )
        targets = dict(self._targets)
        arrays: list[Array] = []
        tail: list[Line] = []
        for name in nests.waiting:
            var = next(var for var in states if var.name == name)
            new = self._namer(f"{name}_new")
            self._orders[new] = self._orders[name]
            targets["update", name] = new
            arrays.append(Array(new, "local", self._lying(var)))
            tail.append(self._copied(var, new))
        for item in local:
            if item.beside or item.repeats:
                arrays += [Array(var.name, "local", self._lying(var)) for var in _made(item)]
            elif item.target not in scalar:
                kind = "bool" if item.expr.kind == "bool" or item.combine == "any" else "real"
                storage = "kept" if item.target in self.kept else "local"
                arrays.append(Array(item.target, storage, tuple(axis.size for axis in item.axes), kind))
        apart = frozenset(array.name for array in self._own_arrays() if array.scattered and array.sizes == (ROWS,))
        layout = Layout(self._orders, scalar | scalars, self._ranks, targets, apart)
        body: list[Line] = []
        together = False  # whether threads that share a block have just divided a product among them
        for nest in nests.nests:
            if together != any(item.multiplies for item in nest.statements):
                together = not together
                body.append(Meeting())
            if nest.statements and nest.statements[0].repeats:
                more, lines = self._repeated(nest.statements[0], scalar | scalars)
                arrays += more
                body.append(lines)
                continue
            body.append(section(program, nest, layout, self._namer, _line_of))
        return arrays, (*body, *([Meeting()] if together else []), *tail)

    def _repeated(self, item: Statement, scalars: frozenset[str]) -> tuple[list[Array], Section]:
        """A fixed point: its start, and the rounds until it has settled."""
        node = item.expr
        assert isinstance(node, Fixpoint)
        rounds = rounds_of(item, self._ports.sizes, self._ranks, self._namer, reported=not self._separate)
        self._orders.update(self._orders_of(rounds.tasks))
        made, start = self._nests([], list(rounds.starts), set(), scalars, rounds.unknowns)
        known = scalars | {rounds.rounding}
        roots = [*rounds.tasks, *rounds.updates]
        arrays, body = self._nests(list(rounds.lets), roots, rounds.new, known, rounds.unknowns)
        missed: Assign | None = None
        if rounds.change is not None:
            name = self._namer(f"{item.target}_missed")
            arrays.append(Array(name, "missed"))
            self._missed.append(Missed(name, node.unknown.name, node.rounds))
            missed = Assign(Element(name), Local(rounds.change), "max")
        units = Define(rounds.rounding, Operation("mul", (Number(UNITS), Epsilon())))
        repeat = Repeat(node.rounds, body, Local(rounds.moving), missed)
        line = _line_of(item)
        return [*made, *arrays], Section((*start, units, repeat), (line,) if line else ())

    def _copied(self, var: Var, new: str) -> Line:
        order = self._orders[var.name]
        axes = [var.axes[place] for place in order]
        at = tuple(loop_name(axis) for axis in axes)
        lines: Line = Assign(Element(var.name, at), Element(new, at))
        for axis in reversed(axes):
            lines = Loop(loop_name(axis), axis.size, (lines,), "vector" if axis is axes[-1] else "plain")
        return Section((lines,))

    def _lying(self, var: Var) -> tuple[Size, ...]:
        order = self._orders.get(var.name, range(len(var.sizes)))
        return tuple(var.sizes[place] for place in order)

    def _own_arrays(self) -> list[Array]:
        flat = self._flat
        apart = self._apart()
        arrays = [Array(var.name, "input", self._lying(var), scattered=var.name in apart) for var in flat.inputs]
        arrays += [Array(var.name, "param", var.sizes) for var in flat.params]
        arrays += [Array(state.name, "state", self._lying(state.var)) for state in flat.states]
        if self._separate:
            arrays += [
                Array(self._targets["update", state.name], "next", self._lying(state.var)) for state in flat.states
            ]
        arrays += [
            Array(self._targets["output", out.name], "output", out.var.sizes, scattered=self._is_block)
            for out in flat.outputs
        ]
        arrays += [Array(let.name, "given", tuple(axis.size for axis in let.axes)) for let in self._given]
        outer = {item.total for item in self.block.outers}
        sums = [*flat.totals, *(item for item in self.flat.totals if item.name in outer)]
        named = {self._targets["total", out.name]: out.var for out in sums}
        return arrays + [Array(name, "total", self._lying(replace(var, name=name))) for name, var in named.items()]

    def _apart(self) -> frozenset[str]:
        """Inputs whose rows lie apart."""
        return frozenset(var.name for var in self._flat.inputs if self._is_block and var.name not in self._stored)

    def _port(self, variables: Iterable[Var], role: str) -> tuple[Port, ...]:
        return tuple(self._one_port(var, role) for var in variables)

    def _one_port(self, var: Var, role: str) -> Port:
        known = self._parts.results if role in ("output", "total") else self._parts.names
        parts = known[var.name]
        own = tuple(self._targets.get((role, part), part) for part in parts)
        plain = tuple(range(len(var.sizes)))
        order = plain if role == "output" else self._orders.get(own[0], plain)
        if len(order) > len(plain):
            order = tuple(place - 1 for place in order[1:])  # without the rows
        return Port(var.name, var.sizes, own, order)


def _made(task: Statement) -> tuple[Var, ...]:
    """The solution of a task as variables."""
    return tuple(Var(name, tuple(axis.size for axis in task.axes)) for name in task.targets)


def _line_of(item: Statement) -> str:
    """The place in the spec that a statement comes from."""
    span = item.let.span if item.let is not None else item.expr.span
    path = re.sub(r"[^\w.-]", "_", span.source.path.replace("\\", "/").rpartition("/")[2])
    unnamed = item.let is not None and item.let.temporary and not item.multiplies
    return "" if span.source is NOWHERE.source or unnamed else f"{path}:{span.line}"
