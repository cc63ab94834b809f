"""What a backward pass computes once for two kernels: the step that is computed again, and the step of the adjoint."""

from __future__ import annotations

from dataclasses import replace

from recc.ir.nodes import Expr, Let, Recurrence, Reduce, Ref, Solve
from recc.ir.traverse import canonical, names, nodes, rewrite
from recc.passes.lower_kernel_nests import RECOMPUTED_COST
from recc.passes.lower_kernel_rows import Block
from recc.passes.lower_kernel_statements import cost_of
from recc.passes.tidy import drop_unused, names_read, roots


def reads_states(primal: Recurrence, adjoint: Recurrence) -> bool:
    """Whether the adjoint's step needs the states before the step."""
    return not names_read(adjoint).isdisjoint(primal.state_names)


def shared_values(first: Block, second: Block) -> list[tuple[str, str]]:
    """Values that both compute, dear ones that the rest of the second reads: their names in the first and in the
    second. What such a value alone depends on is not among them."""
    numbers: dict[object, int] = {}
    own, other = (_numbered(block.recurrence, numbers) for block in (first, second))
    dear = {own[let.name]: let.name for let in first.recurrence.lets if let.name not in first.fixed and _is_dear(let)}
    made = {let.name: let for let in second.recurrence.lets}
    results = read_beside(second).union(*(names(root) for root in roots(second.recurrence)))
    waiting, seen = sorted(results), set[str]()
    while waiting:
        name = waiting.pop()
        if name in made and name not in seen:
            seen.add(name)
            waiting += [] if other[name] in dear else sorted(names(made[name].expr))
    return [(dear[other[name]], name) for name in made if name in seen and other[name] in dear]


def same_values(first: Block, second: Block) -> dict[str, str]:
    """What the second block calls definitions of the first one, those that it has."""
    numbers: dict[object, int] = {}
    own, other = (_numbered(block.recurrence, numbers) for block in (first, second))
    names_of = {number: name for name, number in other.items()}
    return {name: names_of[number] for name, number in own.items() if number in names_of}


def without(block: Block, known: list[str]) -> Block:
    """A block whose definitions `known` are computed elsewhere."""
    rest = tuple(let for let in block.recurrence.lets if let.name not in known)
    recurrence = drop_unused(replace(block.recurrence, lets=rest), read_beside(block))
    return replace(block, recurrence=recurrence, products=block.products - set(known))


def read_beside(block: Block) -> frozenset[str]:
    """The names that are read by what is neither a definition nor a result."""
    return block.read | {name for item in block.outers for name in (item.x, item.y)}


def _is_dear(let: Let) -> bool:
    """Whether a value costs more to compute than to store and to read."""
    if let.expr.kind != "real" or isinstance(let.expr, Ref):
        return False
    cost = sum(map(cost_of, nodes(let.expr)))
    return cost > RECOMPUTED_COST or isinstance(let.expr, (Reduce, Solve))


def _numbered(recurrence: Recurrence, numbers: dict[object, int]) -> dict[str, int]:
    """A number for each definition, the same one for the same value. What depends on the solution of a fixed point or
    a system, which is neither a variable nor a definition, is like nothing else."""
    found: dict[str, int] = {}
    known = {var.name for var in recurrence.variables}

    def rule(node: Expr) -> Expr:
        if isinstance(node, Ref) and node.name in found:
            return replace(node, name=f"={found[node.name]}")
        return node

    for let in recurrence.lets:
        foreign = names(let.expr) - known - found.keys()
        key = object() if foreign else (let.axes, canonical(rewrite(let.expr, rule)))
        found[let.name] = numbers.setdefault(key, len(numbers))
    return found
