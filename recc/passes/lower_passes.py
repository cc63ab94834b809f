"""The kernels of a recurrence's passes, how their axes rank, and whether rows are walked side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recc.ir.kernel import Kernel
from recc.ir.nodes import Fixpoint, Let, Recurrence, Reduce, Size
from recc.passes.lower_kernel import Lowering, Ranks
from recc.passes.lower_kernel_rows import walks_blocks
from recc.passes.lower_kernel_shared import reads_states, same_values, shared_values
from recc.passes.lower_kernel_stretches import BlockLowering
from recc.passes.tidy import flatten

FEW = 4  # positions of an axis that make no vector


def axis_ranks(recurrence: Recurrence) -> Ranks:
    """How axes rank from outer loops to the innermost: those that the recurrence never sums over come last.

    Their lanes are independent of each other, so that they are what vectors are made of. Axes that are known to be
    short come first."""
    summed: set[Size] = set()
    for let in _with_rounds(recurrence):
        over = let.expr.over if isinstance(let.expr, Reduce) and len(let.expr.axes) else ()
        summed |= {axis.size for axis in over}
    order, known = declared_ranks(recurrence), dict(recurrence.sizes)
    few = {size for size in order if (size if isinstance(size, int) else known.get(size, FEW + 1)) <= FEW}
    ranked = sorted(order, key=lambda size: (size not in few, size not in summed))
    return {size: place for place, size in enumerate(ranked)}


def _with_rounds(recurrence: Recurrence) -> Iterable[Let]:
    """The definitions of a step, one operation each, and those of its fixed points."""
    for let in flatten(recurrence).lets:
        yield let
        if isinstance(node := let.expr, Fixpoint):
            yield from flatten(Recurrence("round", lets=node.lets, updates=(node.result,))).lets


def declared_ranks(recurrence: Recurrence) -> Ranks:
    """Axes as the largest variables have them."""
    variables = [state.var for state in recurrence.states] + [*recurrence.params, *recurrence.inputs]
    variables.sort(key=lambda var: -len(var.sizes))
    sizes = dict.fromkeys(size for var in variables for size in var.sizes)
    return {size: place for place, size in enumerate(sizes)}


def block_ranks(recurrence: Recurrence) -> Ranks | None:
    """How axes rank where rows of a recurrence (a primal) are better walked side by side, else None.

    A matrix for each of several heads lies as it was declared, its heads outside. Rows with a fixed point are walked
    one by one, as each ends after rounds of its own, and so are those with a complex system of equations."""
    first, second = axis_ranks(recurrence), declared_ranks(recurrence)
    for ranks in (first, second) if second != first else (first,):
        lowering = Lowering(recurrence, ranks, False, (), False)
        if not lowering.tasks and walks_blocks(lowering.flat, ranks):
            return ranks
    return None


@dataclass(frozen=True)
class SummaryKernel:
    """The kernel of a scan's summary of some steps, longer by one, and whether it reads the states before the step."""

    kernel: Kernel
    reads_states: bool


@dataclass(frozen=True)
class Kernels:
    """The kernels that a library is made of: the primal's, its states alone, the adjoint's; whether the adjoint reads
    the states before a step, and whether each step is that of a group of rows, one in each lane. Where there is a scan,
    the summaries of stretches of steps, forwards and back."""

    primal: Kernel
    replay: Kernel
    adjoint: Kernel
    reads_states: bool
    lanes: bool = False
    summaries: tuple[tuple[SummaryKernel, ...], tuple[SummaryKernel, ...]] = ((), ())


def lower_summaries(
    primal: Recurrence, ranks: Ranks, found: tuple[tuple[Recurrence, ...], tuple[Recurrence, ...]]
) -> tuple[tuple[SummaryKernel, ...], tuple[SummaryKernel, ...]]:
    """The kernels of the summaries of a primal's scan, and of its adjoint's, which may read the states of a step."""
    forward, backward = found
    stored = primal.state_names
    return (
        tuple(SummaryKernel(Lowering(own, ranks, False, (), False).kernel(), False) for own in forward),
        tuple(
            SummaryKernel(Lowering(own, ranks, False, stored, False).kernel(), reads_states(primal, own))
            for own in backward
        ),
    )


def lower_passes(
    primal: Recurrence, adjoint: Recurrence, ranks: Ranks, *, block: bool = False, lanes: bool = False
) -> Kernels:
    """The kernels of a step of the primal, of its new states alone (the replay), and of the adjoint; or, of a `block`,
    those of a step of several rows; or of recurrences that have an axis for `lanes`.

    What is dear and both the replay and the adjoint need is kept by the replay, where there has to be one, and by the
    primal of a block, for the adjoint."""
    forward = _lowering(primal, ranks, False, (), block)
    replay = _lowering(primal, ranks, True, (), block)
    derivative = _lowering(adjoint, ranks, False, primal.state_names, block)
    replayed = reads_states(primal, adjoint)
    if block or replayed:
        pairs = shared_values(replay.block, derivative.block)
        if block:
            known = same_values(replay.block, forward.block)
            pairs = [(own, name) for own, name in pairs if own in known]
            forward.keep([known[own] for own, _ in pairs])
        replay.keep([own for own, _ in pairs])
        derivative.take([name for _, name in pairs])
    for step in (forward, replay, derivative):
        if isinstance(step, BlockLowering):
            step.in_stretches()
    return Kernels(forward.kernel(), replay.kernel(), derivative.kernel(), replayed, lanes)


def _lowering(recurrence: Recurrence, ranks: Ranks, separate: bool, stored: tuple[str, ...], block: bool) -> Lowering:
    if block:
        return BlockLowering(recurrence, ranks, separate, stored)
    return Lowering(recurrence, ranks, separate, stored, False)
