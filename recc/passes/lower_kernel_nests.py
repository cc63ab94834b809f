"""Statements dealt out to loop nests: each nest runs over one set of axes once, for as many statements as can be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from recc.ir.nodes import Axis
from recc.passes.lower_kernel_statements import Program, Statement

# Definitions that cost more than this are stored rather than computed in two nests.
RECOMPUTED_COST = 3


@dataclass
class Nest:
    """Statements that share loops. `kept` are definitions of its own that later nests read."""

    space: frozenset[Axis]
    statements: list[Statement]
    kept: list[Statement] = field(default_factory=list)


@dataclass(frozen=True)
class Nests:
    """Nests in the order in which they run, and the states whose new values must wait for the end of the step."""

    nests: tuple[Nest, ...]
    waiting: tuple[str, ...]


def deal_nests(program: Program, separate: bool) -> Nests:
    """The nests of a step. With `separate`, new states go to arrays of their own, so that nothing has to wait."""
    updates = [item for item in program.statements if item.role == "update"]
    others = [item for item in program.statements if item.role != "update"]
    nests = _in_order(program, others)
    _place_updates(program, nests, updates)
    _keep_costly(program, nests)
    waiting = () if separate else tuple(item.target for item in updates if _must_wait(program, nests, item))
    return Nests(tuple(nests), waiting)


def _in_order(program: Program, statements: list[Statement]) -> list[Nest]:
    """Small nests first, as they let others begin; each takes all statements over its axes that are ready."""
    remaining = list(statements)
    reads = {id(item): program.reads(item) for item in statements}
    waiting = {name for item in statements if item.role == "let" for name in item.targets}
    nests: list[Nest] = []
    while remaining:
        ready = [item for item in remaining if not waiting & reads[id(item)].keys()]
        first = min(ready, key=lambda item: (len(item.space), remaining.index(item)))
        nest = Nest(first.space, [])
        own: dict[str, Statement] = {}
        for item in list(remaining):
            missing = waiting & reads[id(item)].keys()
            joins = all(name in own and reads[id(item)][name] and _is_plain(own[name]) for name in missing)
            if item.space == nest.space and joins and _may_share(item, nest):
                nest.statements.append(item)
                own |= dict.fromkeys(item.targets, item) if item.role == "let" else {}
                remaining.remove(item)
        waiting -= own.keys()
        nests.append(nest)
    return nests


def _is_plain(item: Statement) -> bool:
    return not item.over and not item.whole


def _may_share(item: Statement, nest: Nest) -> bool:
    return not nest.statements or not (item.whole or nest.statements[0].whole)


def _place_updates(program: Program, nests: list[Nest], updates: list[Statement]) -> None:
    """Each update goes into the last nest over its axes, if its operands are there and nobody reads the old state
    afterwards, else into one of its own at the end."""
    lets = [(number, item) for number, nest in enumerate(nests) for item in nest.statements if item.role == "let"]
    made = {name: number for number, item in lets for name in item.targets}
    plain = {item.target for nest in nests for item in nest.statements if _is_plain(item)}
    count = len(nests)
    for update in updates:
        earliest = 0
        for name, aligned in program.reads(update).items():
            if name in made:
                same = aligned and name in plain and nests[made[name]].space == update.space
                earliest = max(earliest, made[name] + (not same))
        for number, nest in enumerate(nests[:count]):
            for item in nest.statements:
                aligned = program.reads(item).get(update.target)
                if aligned is not None:
                    earliest = max(earliest, number + (not (aligned and nest.space == update.space)))
        fitting = [n for n, nest in enumerate(nests) if n >= earliest and nest.space == update.space]
        fitting = [n for n in fitting if _may_share(update, nests[n])]
        if fitting:
            nests[fitting[-1]].statements.append(update)
        else:
            nests.append(Nest(update.space, [update]))


def _keep_costly(program: Program, nests: list[Nest]) -> None:
    """Store definitions that several nests would have to compute again."""
    while True:
        wanted: dict[str, list[int]] = {}
        for number, nest in enumerate(nests):
            for name in set().union(*(program.demand(item) for item in (*nest.statements, *nest.kept))):
                wanted.setdefault(name, []).append(number)
        costly = [n for n, where in wanted.items() if len(where) > 1 and program.cost(n) > RECOMPUTED_COST]
        if not costly:
            return
        name = min(costly, key=lambda name: (program.cost(name), name))
        nests[min(wanted[name])].kept.append(program.keep(name))


def _must_wait(program: Program, nests: list[Nest], update: Statement) -> bool:
    """Whether a state is read after its update's place, or beside it at another position."""
    place = next(number for number, nest in enumerate(nests) if update in nest.statements)
    for number, nest in enumerate(nests):
        for item in _all(nest):
            aligned = program.reads(item).get(update.target)
            if aligned is not None and (number > place or number == place and not aligned):
                return True
    return False


def _all(nest: Nest) -> Iterable[Statement]:
    return (*nest.statements, *nest.kept)
