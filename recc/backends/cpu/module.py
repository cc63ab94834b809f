"""The C text of a recurrence as it stands in an emitted module, and what its steps cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from recc.backends.cpu.source import Summaries, lower, print_source, size_macros
from recc.ir.kernel import LANES, ROWS
from recc.ir.nodes import Recurrence, Size
from recc.passes.cost import NativeCost
from recc.passes.independent import divisible_size
from recc.passes.kernel_cost import kernel_cost
from recc.passes.lower_passes import Kernels, axis_ranks


@dataclass(frozen=True)
class NativeText:
    """C text, the macros of its sizes, and what a step costs forwards and backwards; or, without a text, why there is
    none."""

    source: str
    sizes: tuple[tuple[str, str], ...]
    reason: str = ""
    costs: tuple[NativeCost, NativeCost] | None = None
    divisible: str | None = None  # the size of an axis that sequences can be cut along
    blocks: bool = False
    lanes: bool = False  # whether rows are walked side by side, one in each lane of a vector
    outer: tuple[int, ...] = ()
    kept: tuple[tuple[Size, ...], ...] = ()  # the axes of what the replay keeps of a row's step
    missed: tuple[tuple[tuple[str, int], ...], ...] = ((), ())  # forwards and backwards: fixed points and their rounds
    shared: bool = False  # whether time can be shared out

    @property
    def literal(self) -> str:
        """The text as an assignment."""
        return f'NATIVE = r"""\n{self.source}"""'


def print_native(
    recurrence: Recurrence,
    primal: Recurrence,
    adjoint: Recurrence,
    backend: str,
    summaries: Summaries = ((), ()),
) -> NativeText:
    """The C text of a recurrence, from its guarded primal and adjoint, and the summaries of both's scans, if they have
    scans; none for the backend "torch"."""
    if backend == "torch":
        return NativeText("", (), "it was compiled with `--backend torch`")
    kernels = lower(primal, adjoint, summaries)
    text = print_source(primal, kernels)
    costs = native_costs(primal, kernels)
    divisible = divisible_size(primal, axis_ranks(primal))
    outer = {item.total for item in kernels.adjoint.outers}
    summed = tuple(place for place, port in enumerate(kernels.adjoint.totals) if set(port.parts) <= outer)
    sizes = tuple(size_macros(recurrence).items())
    replayed = [kernels.replay.array(name).sizes for name in kernels.replay.kept]
    kept = tuple(tuple(size for size in of if size not in (ROWS, LANES)) for of in replayed)
    missed = tuple(
        tuple((f"`{item.unknown}` of {recurrence.name}", item.rounds) for item in kernel.missed)
        for kernel in (kernels.primal, kernels.adjoint)
    )
    walked, shared = (kernels.primal.block, kernels.lanes), bool(kernels.summaries[0])
    return NativeText(text, sizes, "", costs, divisible, *walked, summed, kept, missed, shared)


def native_costs(primal: Recurrence, kernels: Kernels) -> tuple[NativeCost, NativeCost]:
    """What a step costs forwards, and backwards with the states that are computed again."""
    near = primal.state_names
    forward, backward = kernel_cost(kernels.primal), kernel_cost(kernels.adjoint, near)
    replay = kernel_cost(kernels.replay)
    if kernels.reads_states:
        backward = backward + replay
    if not kernels.summaries[0]:
        return forward, backward
    first, second = (reduce(add, (kernel_cost(item.kernel) for item in part)) for part in kernels.summaries)
    if any(item.reads_states for item in kernels.summaries[1]):
        second = second + replay
    return replace(forward, summed=first.vectors), replace(backward, summed=second.vectors)
