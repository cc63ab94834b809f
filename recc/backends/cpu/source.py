"""The C text of a recurrence: its step, the step of its adjoint, and the two functions that a caller sees."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

from recc.backends.cpu.names import Names
from recc.backends.cpu.step import StepPrinter
from recc.backends.cpu.walk import Backward, Forward
from recc.backends.cpu.walk_blocks import BlockForward
from recc.backends.cpu.walk_blocks_back import BlockBackward
from recc.backends.cpu.walk_lanes import LaneBackward, LaneForward
from recc.ir.kernel import LANES, ROWS
from recc.ir.nodes import Axis, Recurrence
from recc.passes.lower_kernel_lanes import walks_lanes, with_lanes
from recc.passes.lower_kernel_loops import loop_name
from recc.passes.lower_passes import Kernels, axis_ranks, block_ranks, lower_passes, lower_summaries

INNERMOST = 2**31  # ranks after all other axes
INCLUDES = "\n".join(f"#include <{name}.h>" for name in ("math", "stddef", "stdint", "stdlib", "string"))


Summaries = tuple[tuple[Recurrence, ...], tuple[Recurrence, ...]]


def lower(primal: Recurrence, adjoint: Recurrence, summaries: Summaries = ((), ())) -> Kernels:
    """The kernels of a recurrence, and those of the `summaries` of its scan and its adjoint's, so that time can be
    shared out; rows that are walked side by side keep threads busy without."""
    if walks_lanes(primal, adjoint):
        wide = with_lanes(primal), with_lanes(adjoint)
        return lower_passes(*wide, {**axis_ranks(primal), LANES: INNERMOST}, lanes=True)
    ranks = block_ranks(primal)
    if ranks is not None:
        return lower_passes(primal, adjoint, ranks, block=True)
    ranks = axis_ranks(primal)
    kernels = lower_passes(primal, adjoint, ranks)
    return replace(kernels, summaries=lower_summaries(primal, ranks, summaries)) if all(summaries) else kernels


def print_source(primal: Recurrence, kernels: Kernels) -> str:
    """The C text of a recurrence (guarded) and its adjoint, lowered to these kernels.

    Sizes and element types are macros: `SIZE_K`, `REAL_BITS` (32 or 64), `TYPE_IN_0`, `TYPE_OUT_0`, `TYPE_GRAD_0`."""
    names, used = Names(), set[str]()
    names.fix(ROWS, "BLOCK_ROWS")
    names.fix(loop_name(Axis(ROWS)), "block_row")
    names.fix(LANES, "GROUP_LANES")
    names.fix(loop_name(Axis(LANES)), "at_lane")
    sizes = _symbols(primal)
    for size in sizes:
        names(size)
    forward = StepPrinter(kernels.primal, "forward", names, used)
    replay = StepPrinter(kernels.replay, "replay", names, used)
    backward = StepPrinter(kernels.adjoint, "backward", names, used)
    if kernels.primal.block:
        walk, back, replays = BlockForward(forward, kernels.replay, names), BlockBackward(replay, backward, names), True
        used.add("blocks")
    elif kernels.lanes:
        walk, replays = LaneForward(forward, names), kernels.reads_states
        back = LaneBackward(replay, backward, names, replays)
        used.add("lanes")
    else:
        walk, replays = Forward(forward, names), kernels.reads_states
        back = Backward(replay, backward, names, replays)
    parts = [back.states()] if replays else []
    parts += walk.stretches() if isinstance(walk, BlockForward) else []
    parts += [walk.memory(), forward.before(), forward.step(), walk.text()]
    parts += back.stretches() if isinstance(back, BlockBackward) else []
    parts += [replay.memory(), replay.before(), replay.step()] if replays else []
    parts += [back.memory(), backward.before(), backward.step(), back.text()]
    parts += _summaries(kernels, replay, names, used)
    constants = f"enum {{ {', '.join(f'{names(size)} = SIZE_{names(size)}' for size in sizes)} }};" if sizes else ""
    return "\n\n".join(part for part in (INCLUDES, *_prelude(used), constants, *parts) if part) + "\n"


def _summaries(kernels: Kernels, replay: StepPrinter, names: Names, used: set[str]) -> list[str]:
    """Walks like those of the recurrence and its adjoint that sum stretches of time up, built where they are called."""
    parts: list[str] = []
    for number, item in enumerate(kernels.summaries[0]):
        step = StepPrinter(item.kernel, f"summary_{number}", names, used)
        walk = Forward(step, names, entries=False)
        parts += [walk.memory(), step.before(), step.step(), walk.text()]
    for number, item in enumerate(kernels.summaries[1]):
        step = StepPrinter(item.kernel, f"adjoint_summary_{number}", names, used)
        back = Backward(replay, step, names, item.reads_states)
        parts += [back.memory(), step.before(), step.step(), back.text()]
    about = "/* Summaries of stretches of time, by which few rows are shared out among many threads. */"
    return ["#ifdef TIME_SHARED", about, *parts, "#endif"] if parts else []


def _symbols(recurrence: Recurrence) -> list[str]:
    return list(dict.fromkeys([*recurrence.symbols, *(size for size, _ in recurrence.sizes)]))


def size_macros(recurrence: Recurrence) -> dict[str, str]:
    """The macro that gives each symbolic size."""
    names = Names()
    return {size: f"SIZE_{names(size)}" for size in _symbols(recurrence)}


@lru_cache(maxsize=1)
def _pieces() -> dict[str, tuple[tuple[str, ...], str]]:
    """The prelude's pieces: what each needs, and its text."""
    text = files("recc.backends.cpu").joinpath("prelude.c").read_text(encoding="utf-8")
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for piece in text.split("/* --- ")[1:]:
        head, _, body = piece.partition(" --- */")
        name, _, needs = head.partition(": ")
        found[name] = (tuple(need for need in needs.split(", ") if need), body.strip())
    return found


def _prelude(used: set[str]) -> list[str]:
    """The pieces that a text uses, in order, and those that they need."""
    pieces = _pieces()
    wanted = {"types", "loading", "rows"}
    waiting = sorted(used)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += pieces[name][0]
    return [body for name, (_, body) in pieces.items() if name in wanted]
