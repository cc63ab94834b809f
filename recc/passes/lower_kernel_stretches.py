"""Products with matrices that need not be done step by step.

What is made of inputs and params alone is computed ahead, for all rows and steps of a stretch at once; what only
outputs are made of is computed behind, after a stretch. Either reads a matrix once for many steps, and not once for
each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from recc.ir.kernel import Array, Kernel
from recc.ir.nodes import Axis, Expr, Let, Output, Recurrence, Ref, Size, Var
from recc.ir.traverse import map_exprs, names, rewrite
from recc.passes.lower_kernel import Lowering, Ranks
from recc.passes.lower_kernel_rows import Block
from recc.passes.lower_kernel_shared import read_beside
from recc.passes.tidy import Namer, drop_unused, names_read, used_names


class Stretch(Lowering):
    """The lowering of a part of a step, for the rows of a block at several steps: `part` of what is `whole`.

    Of what it computes, `exported` is read by others; its only inputs are `near`, whose rows lie one after the other,
    or else those that the step has."""

    def __init__(self, whole: Lowering, part: Block, exported: Iterable[str] = (), near: tuple[Var, ...] = ()):
        vars(self).update(vars(whole))
        recurrence, ports = part.recurrence, whole._ports
        self.kept, self._given, self._orders, self._separate = (), [], {}, False
        self._exported, self._stored = frozenset(exported), {var.name for var in near}
        self._outputs = recurrence.outputs
        made = {item.name for item in recurrence.outputs}
        read = names_read(recurrence).union(exported)
        inputs = () if near else self._present(ports.inputs, read)
        params = self._present(ports.params, read)
        outputs = tuple(item for item in ports.outputs if made & set(self._parts.results[item.name]))
        self._ports = Recurrence(ports.name, inputs, params, outputs=outputs, sizes=ports.sizes)
        parts = {own for var in (*inputs, *params) for own in self._parts.names[var.name]}
        flat = replace(
            recurrence,
            inputs=near or tuple(var for var in recurrence.inputs if var.name in parts),
            params=tuple(var for var in recurrence.params if var.name in parts),
            states=(),
        )
        self._replace(replace(part, recurrence=flat))
        self._fixed, self._namer = part.fixed, Namer(used_names(flat))

    def _present(self, variables: tuple[Var, ...], read: frozenset[str]) -> tuple[Var, ...]:
        return tuple(var for var in variables if read & set(self._parts.names[var.name]))


class BlockLowering(Lowering):
    """The lowering of a block's step."""

    def __init__(self, recurrence: Recurrence, ranks: Ranks, separate: bool, stored: tuple[str, ...]):
        super().__init__(recurrence, ranks, separate, stored, True)
        self._given_ahead: list[Let] = []
        self._ahead: Stretch | None = None
        self._behind: Stretch | None = None

    def kernel(self) -> Kernel:
        ahead, behind = (None if part is None else part.kernel() for part in (self._ahead, self._behind))
        return replace(super().kernel(), ahead=ahead, behind=behind)

    def _own_arrays(self) -> list[Array]:
        """Inputs that only stretches read are none of the step."""
        arrays = super()._own_arrays() + [Array(let.name, "ahead", _sizes(let.axes)) for let in self._given_ahead]
        if self._ahead is None and self._behind is None:
            return arrays
        spare = self._apart() - names_read(self._flat)
        parts = [set(self._parts.names[var.name]) for var in self._ports.inputs]
        unread = set[str]().union(*(own for own in parts if own <= spare))
        return [array for array in arrays if array.name not in unread]

    def in_stretches(self) -> None:
        """What needs not be done step by step is left to kernels of stretches."""
        self._split_ahead()
        self._split_behind()

    def _needed(self) -> Block:
        """The block, with what is kept of it among what is read."""
        return self.block if self._given else replace(self.block, read=self.block.read.union(self.kept))

    def _split_ahead(self) -> None:
        block = self._needed()
        products = _ahead_products(block, self._apart())
        if not products:
            return
        made = {let.name: let for let in block.recurrence.lets}
        part = drop_unused(_only(block.recurrence), products)
        own = block.products & {let.name for let in part.lets}
        self._ahead = Stretch(self, Block(part, own, (), block.fixed), products)
        self._given_ahead = [made[name] for name in products]
        # What something else reads beside the step is copied to where that looks for it.
        shared = [name for name in products if name in read_beside(block)]
        copies = {name: self._namer(f"{name}_kept") for name in shared}
        lets = [let for let in block.recurrence.lets if let.name not in products]
        lets += [Let(copies[name], made[name].axes, made[name].ref(), temporary=True) for name in shared]
        self.kept = tuple(copies.get(name, name) for name in self.kept)
        outers = tuple(
            replace(item, x=copies.get(item.x, item.x), y=copies.get(item.y, item.y)) for item in block.outers
        )
        self._keep_only(replace(block, outers=outers), lets, block.recurrence.outputs, own)

    def _keep_only(self, block: Block, lets: Iterable[Let], outputs: tuple[Output, ...], moved: Iterable[str]) -> None:
        block = replace(block, read=frozenset(self._exported if self._given else self._exported.union(self.kept)))
        recurrence = replace(block.recurrence, lets=tuple(lets), outputs=outputs)
        products = block.products.difference(moved)
        self._replace(replace(block, products=products, recurrence=drop_unused(recurrence, read_beside(block))))

    def _split_behind(self) -> None:
        block = self._needed()
        recurrence = block.recurrence
        lets, outputs = _found_behind(block, [set(self._parts.results[item.name]) for item in self._ports.outputs])
        if not outputs:
            return
        moved = {let.name for let in lets} - block.fixed
        read = names_read(replace(_only(recurrence), lets=tuple(lets), outputs=outputs)) - moved - block.fixed
        near, copies = self._past(recurrence, sorted(read))

        def rule(node: Expr) -> Expr:
            return replace(node, name=near[node.name].name) if isinstance(node, Ref) and node.name in near else node

        fixed = tuple(let for let in recurrence.lets if let.name in block.fixed)
        late = (let for let in lets if let.name in moved)
        part = replace(_only(recurrence), lets=(*fixed, *late), outputs=outputs)
        part = drop_unused(map_exprs(part, lambda expr: rewrite(expr, rule)))
        own = Block(part, block.products & moved, (), block.fixed)
        self._behind = Stretch(self, own, (), tuple(near.values()))
        self._exported = self._exported.union(var.name for var in near.values())
        rest = tuple(item for item in recurrence.outputs if item not in outputs)
        self._keep_only(block, [*recurrence.lets, *copies], rest, moved)

    def _past(self, recurrence: Recurrence, read: list[str]) -> tuple[dict[str, Var], list[Let]]:
        """What stands for values of a step behind it, and the copies of those that are not there any more, or lie
        elsewhere: of what the step itself does not compute."""
        made = {let.name: let.axes for let in (*recurrence.lets, *self._given)}
        others = {item.name: item.axes for item in (*self._given_ahead, *recurrence.variables)}
        near: dict[str, Var] = {}
        copies: list[Let] = []
        for name in read:
            axes = made.get(name) or others[name]
            near[name] = Var(name if name in made else self._namer(f"{name}_past"), _sizes(axes))
            if name not in made:
                copies.append(Let(near[name].name, axes, Var(name, _sizes(axes)).ref(), temporary=True))
        return near, copies


def _sizes(axes: tuple[Axis, ...]) -> tuple[Size, ...]:
    return tuple(axis.size for axis in axes)


def _only(recurrence: Recurrence) -> Recurrence:
    """A recurrence's definitions without what it is computed for."""
    return replace(recurrence, updates=(), outputs=(), totals=())


def _ahead_products(block: Block, apart: frozenset[str]) -> list[str]:
    """Products that depend on params and on inputs whose rows lie `apart`, those that the rest of a step reads."""
    known = apart | block.fixed
    made = {let.name: let for let in block.recurrence.lets}
    for let in made.values():
        known |= {let.name} if names(let.expr) <= known else set()
    early = block.products & known
    waiting, seen = sorted(names_read(replace(block.recurrence, lets=())) | read_beside(block)), set[str]()
    while waiting:
        name = waiting.pop()
        if name in made and name not in seen:
            seen.add(name)
            waiting += [] if name in early else sorted(names(made[name].expr))
    return [name for name in made if name in seen & early]


def _found_behind(block: Block, ports: list[set[str]]) -> tuple[list[Let], tuple[Output, ...]]:
    """Products that nothing but outputs is made of, what is made of them, and these outputs; those of one port stay
    together."""
    recurrence = block.recurrence
    needed = {let.name for let in drop_unused(replace(recurrence, outputs=()), read_beside(block)).lets}
    late: dict[str, Let] = {}
    for let in recurrence.lets:
        if let.name not in needed and (let.name in block.products or names(let.expr) & late.keys()):
            late[let.name] = let
    moved = {item.name for item in recurrence.outputs if names(item.expr) & late.keys()}
    moved = set[str]().union(*(port for port in ports if port & moved))
    outputs = tuple(item for item in recurrence.outputs if item.name in moved)
    lets: list[Let] = []
    read = set[str]().union(*(names(item.expr) for item in outputs))
    for let in reversed(recurrence.lets):
        if let.name in late or let.name in read and let.expr.kind == "bool":  # what is kept of steps is real
            lets.insert(0, let)
            read |= names(let.expr)
    return lets, outputs
