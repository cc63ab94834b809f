"""How long a call is expected to take in torch and in native code, from what its steps do."""

import math
from collections.abc import Sequence
from typing import NamedTuple

BUILD_SHARE = 0.005  # seconds of building that a call has to earn for native code to be built without being asked for
LEAST_GAIN = 1.3  # by which sharing time out has to be faster
CHUNK_SECONDS = 5e-5  # that a chunk's own state takes, from the summary of the one before it, in torch
MATRIX_ROWS = 8  # a matrix that is read for one row could be multiplied by so many rows in that time


class Rates(NamedTuple):
    """Seconds that things take, of one thread where they are native; `benchmarks/calibrate.py` measures them."""

    start: float  # a sequence in torch, before its first step
    call: float  # a torch function, however small its tensors are
    element: float  # a number that a torch function reads or writes
    product: float  # a multiplication by an element of a matrix that all rows share
    native_call: float  # a sequence in native code
    native_step: float  # a step of one row
    native_vector: float  # an addition of as many numbers as a register holds
    native_byte: float  # a byte of inputs and outputs


class TorchStep(NamedTuple):
    """What torch does in a step: calls, elements of one row, and multiplications by matrices that all rows share."""

    calls: int
    elements: int
    products: int = 0


class StepWork(NamedTuple):
    """What a step takes in one pass over time: walked, as part of a scan (None without one), all steps at once, and in
    native code as operations on vectors and bytes (None without it), with operations on vectors that sum the step up
    (None where time cannot be shared out), of so many rows side by side."""

    walked: TorchStep
    scanned: TorchStep | None
    ahead: TorchStep
    native: tuple[int, int] | None
    summed: int | None = None
    side: int = 1


class Expected(NamedTuple):
    """Seconds by each way to run a recurrence; infinity for those that there are not. In how many chunks native code
    walks the time of each row in each pass."""

    sequential: float
    scan: float
    native: float
    chunks: tuple[int, ...] = ()


def expected_seconds(
    passes: Sequence[StepWork], rates: Rates, steps: int, rows: int, threads: int, processors: int = 1
) -> Expected:
    """The time of some passes over `steps` steps of `rows` sequences times lanes.

    A scan makes as many calls as a tile and the tiles have steps. Native code has the threads share rows, or chunks of
    them where a machine has more `processors` than rows, and one memory."""
    depth = min(steps, 2 * math.isqrt(max(steps, 1)) + 16)
    chunks = tuple(time_chunks(work, rates, steps, rows, processors) for work in passes)
    found = [0.0, 0.0, 0.0]
    for work, count in zip(passes, chunks, strict=True):
        ahead = rates.start + steps * torch_seconds(work.ahead, rates, rows)
        walked = ahead + steps * (work.walked.calls * rates.call + torch_seconds(work.walked, rates, rows))
        scanned = native = math.inf
        if work.scanned is not None:
            scanned = ahead + depth * work.scanned.calls * rates.call
            scanned += steps * torch_seconds(work.scanned, rates, rows)
        if work.native is not None:
            vectors, nbytes = work.native
            computed = step_seconds(vectors, rates)
            if count > 1 and work.summed is not None:
                computed += step_seconds(work.summed, rates)
            groups = -(-rows // work.side)
            computed *= groups / max(1, min(threads, groups * count))
            native = rates.native_call + steps * (computed + rows * nbytes * rates.native_byte)
        found = [known + more for known, more in zip(found, (walked, scanned, native), strict=True)]
    walked, scanned, native = found
    return Expected(walked, scanned, native, chunks)


def time_chunks(work: StepWork, rates: Rates, steps: int, rows: int, processors: int) -> int:
    """In how many chunks a pass walks the time of each row, where that is expected to pay, or 1.

    All chunks are summed up and then walked, so that there is more to do, for processors that were idle."""
    if work.native is None or work.summed is None or processors < 2 * max(1, rows):
        return 1
    walked = step_seconds(work.native[0], rates)
    shared = walked + step_seconds(work.summed, rates)

    def seconds(count: int) -> float:
        return steps * shared / count + CHUNK_SECONDS * count * rows

    most, best = processors // max(1, rows), math.isqrt(int(steps * shared / (CHUNK_SECONDS * max(1, rows))))
    count = min((max(2, min(most, near)) for near in (best, best + 1)), key=seconds)
    return count if seconds(count) * LEAST_GAIN < steps * walked else 1


def step_seconds(vectors: int, rates: Rates) -> float:
    """The time of one step of one row in native code."""
    return rates.native_step + vectors * rates.native_vector


def torch_seconds(step: TorchStep, rates: Rates, rows: int) -> float:
    """The time of one step of all rows beside that of its calls."""
    return rows * step.elements * rates.element + (rows + MATRIX_ROWS) * step.products * rates.product


def cheapest(expected: Expected, method: str = "auto", decoding: bool = False) -> str:
    """What "auto" takes: "sequential", "scan" or "native".

    Native code bears its share of the time that building takes, whether it was built before or not: the same call is
    always made in the same way, and gives the same bits. A decoder makes many calls of one step, whose time is that of
    the call itself: native code has the shorter one, and bears nothing."""
    if decoding and expected.native < math.inf:
        return "native"
    by_torch = "scan" if method == "auto" and expected.scan < expected.sequential else "sequential"
    return "native" if expected.native + BUILD_SHARE < getattr(expected, by_torch) else by_torch
