"""The two-level walk over time: tiles of a few steps, in groups that are walked side by side.

A program is walked tile after tile (`walk_tiles`), or, if it has levels, with all tiles of a group at once
(`scan_tiles`): the summaries of the tiles first, then the states between tiles, then the steps from these states.
A group of n tiles of C steps so takes C * (levels + 1) + n dependent steps. Only where the results are written to is
in place, and only if asked for: otherwise autograd can differentiate all of it.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from recc.runtime.program import Level, Program

Tensors = tuple[Tensor, ...]
STEP_ELEMENTS = 2**17  # of a state in all tiles of a group: amortises a torch call, still fits a cache
GROUP_ELEMENTS = 2**21  # of a state in all steps of a group: what the backward pass has in memory at once
GROUP_STEPS = 2**11  # in a group that is walked step by step, where each step makes tensors however small a state is
Places = Sequence[Tensor | None] | None  # where to write what steps keep, if it is known
TILE_RANGE = (16, 128)


class Group(NamedTuple):
    """`tiles` tiles of `steps` steps each, from step `start`; `tile` is the index of the first of them."""

    start: int
    tiles: int
    steps: int
    tile: int


class Target(NamedTuple):
    """The shape, but for its number of steps, and the dtype that an output must come to, if it is wanted at all."""

    batch: int
    rest: tuple[int, ...]
    dtype: torch.dtype
    wanted: bool = True


class Mode(NamedTuple):
    """How `run` goes: with tiles side by side, from the last step to the first, writing its results in place."""

    scan: bool
    reverse: bool = False
    in_place: bool = False


class Walk(NamedTuple):
    """What `run` returns: outputs and entry states have time and tiles at dimension 1, `final` 1, `totals` none."""

    outputs: Tensors
    final: Tensors
    entries: Tensors
    totals: Tensors


def cut(steps: int, tile: int, group: int) -> tuple[Group, ...]:
    """Groups of at most `group` tiles of `tile` steps; a last shorter tile stands alone."""
    full = steps // tile
    groups = [Group(first * tile, min(group, full - first), tile, first) for first in range(0, full, group)]
    if steps % tile:
        groups.append(Group(full * tile, 1, steps % tile, full))
    return tuple(groups)


@lru_cache(maxsize=1024)
def tile_steps(steps: int, group: int, levels: int) -> int:
    """The tile size with the fewest dependent steps in a scan of `levels` passes over `steps` steps."""
    low, high = TILE_RANGE

    def depth(tile: int) -> int:
        full = steps // tile
        return -(-full // group) * tile * (2 * levels + 1) + 2 * full * levels + steps % tile

    return min(range(low, high + 1), key=depth) if steps > low else max(1, steps)


def group_tiles(elements: int, tile: int, scan: bool) -> int:
    """How many tiles of `tile` steps make a group when a state has `elements` elements in all rows."""
    elements = max(1, elements)
    tiles = min(STEP_ELEMENTS // elements, GROUP_ELEMENTS // (elements * tile))
    return max(4, tiles) if scan else max(1, min(tiles, GROUP_STEPS // tile))


def fit(tensor: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """`tensor` summed over what `shape` broadcasts, expanded along what `tensor` lacks, in dtype `dtype`."""
    if tensor.shape != torch.Size(shape):
        padded = tensor.reshape((1,) * (len(shape) - tensor.dim()) + tuple(tensor.shape))
        summed = [d for d, (have, want) in enumerate(zip(padded.shape, shape, strict=True)) if want == 1 != have]
        tensor = (padded.sum(summed, keepdim=True) if summed else padded).expand(shape)
    if tensor.dtype == dtype:
        return tensor
    return (tensor.real if tensor.is_complex() and not dtype.is_complex else tensor).to(dtype)


def zeros_like_shape(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros that take no memory."""
    return torch.zeros((), dtype=dtype, device=device).expand(tuple(shape))


def per_step(tensors: Tensors, tiles: int, steps: int) -> list[Tensors]:
    """Views `(B, tiles, ...)` of each of the `steps` steps of tensors `(B, tiles * steps, ...)`."""
    if not tensors:
        return [()] * steps
    columns: list[tuple[Tensor, ...]] = []
    for tensor in tensors:
        if tensor.shape[1] != tiles * steps:
            tensor = tensor.expand(-1, tiles * steps, *tensor.shape[2:])
        if tiles == 1:
            columns.append(tensor.split(1, 1))
        else:
            columns.append(tensor.reshape(tensor.shape[0], tiles, steps, *tensor.shape[2:]).unbind(2))
    return list(zip(*columns, strict=True))


def join_steps(kept: Sequence[Tensors], tiles: int, places: Places = None) -> Tensors:
    """The inverse of `per_step`, for a sequence that is not empty; what lacks a dimension is broadcast."""
    columns = list(zip(*kept, strict=True))
    if places is None:
        return tuple(join_column(column, tiles) for column in columns)
    return tuple(
        join_column(column, tiles) if place is None else write_column(column, tiles, place)
        for column, place in zip(columns, places, strict=True)
    )


def write_column(column: Sequence[Tensor], tiles: int, place: Tensor) -> Tensor:
    """What `join_column` returns, written to `place`."""
    if tiles == 1:  # torch.cat is slow when it writes to memory that is not contiguous
        return place.copy_(join_column(column, tiles))
    by_tile = place.view(place.shape[0], tiles, len(column), *place.shape[2:])
    torch.stack(full_column(column, tiles), 2, out=by_tile)
    return place


def join_column(column: Sequence[Tensor], tiles: int) -> Tensor:
    """Tensors `(B, tiles, ...)`, one a step, as one tensor `(B, tiles * steps, ...)`."""
    full = full_column(column, tiles)
    if tiles == 1:
        return full[0] if len(full) == 1 else torch.cat(full, 1)
    stacked = torch.stack(full, 2)
    return stacked.reshape(stacked.shape[0], tiles * len(column), *stacked.shape[3:])


def full_column(column: Sequence[Tensor], tiles: int) -> Tensors:
    """The tensors of all steps in one shape; a step may keep one that lacks a dimension."""
    shapes = {tensor.shape for tensor in column}
    if len(shapes) == 1 and column[0].shape[1] == tiles:
        return tuple(column)
    shape = torch.broadcast_shapes(*shapes, (1, tiles) + (1,) * (column[0].dim() - 2))
    return tuple(tensor.expand(shape) for tensor in column)


def spread(states: Sequence[Tensor], like: Tensors) -> Tensors:
    """States in their full shape; a step may return one that lacks a dimension."""
    return tuple(s if s.shape == full.shape else s.expand_as(full) for s, full in zip(states, like, strict=True))


def add_all(states: Tensors, added: Sequence[Tensor] | None) -> Tensors:
    return states if added is None else tuple(s + a for s, a in zip(states, added, strict=True))


def tile_of(tensors: Sequence[Tensor] | None, tile: int) -> Tensors | None:
    return None if tensors is None else tuple(t[:, tile : tile + 1] for t in tensors)


def walk_tiles(
    program: Program,
    p: Tensors,
    s: Tensors,
    c: object,
    group: Group,
    reverse: bool,
    added: Tensors | None,
    places: Places,
) -> tuple[Tensors, Tensors, Tensors]:
    """The states after the group, what its steps keep, and the states at the entry of each tile, one by one.

    `added` is added to the states after each tile. Depth: tiles * steps.
    """
    steps = per_step(p[: program.read], 1, group.tiles * group.steps)
    step, full = program.step, s
    kept: list[Tensors] = []
    entries: list[Tensors] = []
    for tile in reversed(range(group.tiles)) if reverse else range(group.tiles):
        entries.append(s)
        part = steps[tile * group.steps : (tile + 1) * group.steps]
        for p_t in reversed(part) if reverse else part:
            s, y = step(s, p_t, c)
            kept.append(y)
        s = add_all(spread(s, full), tile_of(added, tile))
    if reverse:
        kept.reverse()
        entries.reverse()
    return s, join_steps(kept, 1, places), join_steps(entries, 1)


def scan_tiles(
    program: Program,
    p: Tensors,
    s: Tensors,
    c: object,
    group: Group,
    reverse: bool,
    added: Tensors | None,
    places: Places,
) -> tuple[Tensors, Tensors, Tensors]:
    """What `walk_tiles` returns, with all tiles of the group side by side. Depth: steps * (levels + 1) + tiles."""
    steps = per_step(p[: program.read], group.tiles, group.steps)
    if reverse:
        steps.reverse()
    entries: list[Tensor] = list(s)
    for level in program.levels:
        solved = solve_level(level, entries, s, steps, c, group.tiles, reverse, added)
        for state, entry in zip(level.states, solved, strict=True):
            entries[state] = entry
    now = known = tuple(entries)
    kept: list[Tensors] = []
    step = program.step
    for p_t in steps:
        now, y = step(now, p_t, c)
        kept.append(y)
    if reverse:
        kept.reverse()
    last = 0 if reverse else group.tiles - 1
    final = tuple(state[:, last : last + 1] for state in spread(now, known))
    return add_all(final, tile_of(added, last)), join_steps(kept, group.tiles, places), known


def solve_level(
    level: Level,
    known: Sequence[Tensor],
    s: Tensors,
    steps: Sequence[Tensors],
    c: object,
    tiles: int,
    reverse: bool,
    added: Tensors | None,
) -> Tensors:
    """The states of one level at the entry of each tile, `(B, tiles, ...)`; `known` holds those of earlier levels."""
    full = now = tuple(s[i] for i in level.states)
    earlier = tuple(known[i] for i in level.earlier)
    A, b = level.begin(now, c)
    compose, advance = level.compose, level.advance
    for p_t in steps:
        earlier, A, b = compose(earlier, A, b, p_t, c)
    summaries = list(zip(per_tile(A, tiles), per_tile(b, tiles), strict=True))
    extra = None if added is None else tuple(added[i] for i in level.states)
    order = range(tiles - 1, 0, -1) if reverse else range(tiles - 1)
    entries = [now]
    for tile in order:
        now = add_all(spread(advance(*summaries[tile], now), full), tile_of(extra, tile))
        entries.append(now)
    if reverse:
        entries.reverse()
    return join_steps(entries, 1)


def per_tile(tensors: Tensors, tiles: int) -> list[Tensors]:
    """Views `(B, 1, ...)` of each tile of tensors `(B, tiles or 1, ...)`."""
    if not tensors:
        return [()] * tiles
    columns = (t.split(1, 1) * (tiles if t.shape[1] == 1 else 1) for t in tensors)
    return list(zip(*columns, strict=True))


def replay(program: Program, p: Tensors, entries: Tensors, c: object, group: Group) -> Tensors:
    """The states before each step, `(B, tiles * steps, ...)`, from those at the entry of each tile."""
    s, before = entries, [entries]
    step = program.step
    for p_t in per_step(p[: program.read], group.tiles, group.steps)[:-1]:
        s, _ = step(s, p_t, c)
        before.append(s)
    return join_steps(before, group.tiles)


def run(
    program: Program,
    fetch: Callable[[Group], Tensors],
    w: Tensors,
    s: Tensors,
    groups: Sequence[Group],
    targets: Sequence[Target],
    mode: Mode,
    added: Tensors | None = None,
) -> Walk:
    """Runs a program over all groups, from states `s` of shape `(B, 1, *lanes, *features)`.

    `fetch` gives the program's inputs of one group, `(B, tiles * steps, *lanes, *features)`; `targets` say what its
    outputs must come to. In reverse the last step comes first, and `added` `(B, all tiles, ...)` is added to the
    states after each tile, that is where the tile begins.
    """
    c = program.constants(w)
    steps, tiles = (groups[-1].start + count_of(groups[-1]), groups[-1].tile + groups[-1].tiles) if groups else (0, 0)
    outputs = [Column(target, steps, s[0].device, mode.in_place) for target in targets]
    entries = [Column(Target(t.shape[0], tuple(t.shape[2:]), t.dtype), tiles, t.device, mode.in_place) for t in s]
    totals: Tensors = ()
    sources: list[int | None] | None = None
    for group in reversed(groups) if mode.reverse else groups:
        extra = None if added is None else tuple(a[:, group.tile : group.tile + group.tiles] for a in added)
        walk = scan_tiles if mode.scan and program.levels and group.tiles > 1 else walk_tiles
        p = program.prepare(fetch(group), c)
        places = None if sources is None else [None if i is None else outputs[i].place(group) for i in sources]
        s, y, entry = walk(program, p, s, c, group, mode.reverse, extra, places)
        results, sums = program.finish(y, p, c)
        if sources is None:
            sources = [written_as(t, results, outputs) for t in y]
        for column, result in zip(outputs, results, strict=True):
            column.add(group.start, count_of(group), result)
        for column, tensor in zip(entries, entry, strict=True):
            column.add(group.tile, group.tiles, tensor)
        totals = tuple(a + b for a, b in zip(totals, sums, strict=True)) if totals else tuple(sums)
    joined = tuple(column.joined(mode.reverse) for column in outputs)
    return Walk(joined, s, tuple(column.joined(mode.reverse) for column in entries), totals)


def count_of(group: Group) -> int:
    return group.tiles * group.steps


def written_as(kept: Tensor, results: Sequence[Tensor], outputs: Sequence["Column"]) -> int | None:
    """The output that is exactly what a program keeps of its steps, and so can be written where it belongs at once."""
    for i, (result, column) in enumerate(zip(results, outputs, strict=True)):
        if result is kept and column.takes(kept):
            return i
    return None


class Column:
    """One output `(B, steps, ...)` as its groups come in, never a view of an input.

    Written in place it takes its memory once; otherwise it is joined from its parts, which autograd can follow.
    """

    def __init__(self, target: Target, steps: int, device: torch.device, in_place: bool) -> None:
        self.target = target
        self.parts: list[Tensor] = []
        self.placed: Tensor | None = None
        shape = (target.batch, steps, *target.rest)
        self.whole: Tensor | None = None
        if steps == 0 or not target.wanted:
            self.whole = zeros_like_shape(shape, target.dtype, device)
        elif in_place:
            self.whole = torch.empty(shape, dtype=target.dtype, device=device)

    def takes(self, tensor: Tensor) -> bool:
        """Whether a group's tensor needs nothing done to it to be a part of the output."""
        own = Target(tensor.shape[0], tuple(tensor.shape[2:]), tensor.dtype)
        return self.whole is not None and own == self.target

    def place(self, group: Group) -> Tensor | None:
        """Where a group's part is to be written by whoever makes it."""
        self.placed = None if self.whole is None else self.whole.narrow(1, group.start, count_of(group))
        return self.placed

    def add(self, start: int, count: int, tensor: Tensor) -> None:
        if not self.target.wanted:
            return
        part = fit(tensor, (self.target.batch, count, *self.target.rest), self.target.dtype)
        if self.whole is None:
            self.parts.append(part)
        elif part is not self.placed:
            self.whole.narrow(1, start, count).copy_(part)

    def joined(self, reverse: bool) -> Tensor:
        if self.whole is not None:
            return self.whole
        return torch.cat(self.parts[::-1] if reverse else self.parts, 1)
