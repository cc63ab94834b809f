"""An emitted module against the interpreter: outputs, final states and all gradients, of each method and dtype."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recc import cache
from recc.compiler import emit, front
from recc.ir.nodes import Recurrence
from recc.passes.analyse import analyse
from recc.passes.methods import admitted
from recc.runtime.native_build import NativeError, find_compiler
from recc.verify.cases import Caller, Case, Errors, plan_cases
from recc.verify.oracle import Oracle
from recc.verify.samples import Shape, symbolic_sizes

Source = str | Path | Callable[..., Any]
Progress = Callable[[int, int], None]

ROWS, LANES = 4, 2
LENGTHS = (0, 1, 2, 63, 64, 65, 1000)
SHORT = (0, 1, 3)  # on sizes of one; also what is left where values grow without bounds
SIZES = (3, 2, 4, 5)
Lengths = tuple[tuple[int, ...], ...]  # on usual sizes, and on sizes of one
SLOPE_STEPS, SLOPE_TOLERANCE = 5, 1e-6
TOLERANCES = {torch.float64: 1e-11, torch.float32: 2e-4}  # thousands of roundings; good modules need some ten


@dataclass(frozen=True)
class Result:
    """One method in one dtype: the largest errors over all cases, relative to one plus the largest value of a tensor.

    It passed if both errors are within `tolerance` and nothing else went wrong; `detail` says what did."""

    recurrence: str
    method: str
    backend: str
    dtype: str
    cases: int
    error: float
    gradient_error: float
    tolerance: float
    seconds: float
    passed: bool
    detail: str


def verify(
    source: Source,
    *,
    constants: dict[str, int | float] | None = None,
    progress: Progress | None = None,
    lengths: tuple[int, ...] = LENGTHS,
    ones: bool = True,
) -> list[Result]:
    """Compare every recurrence of a source, in every method that it admits, with the float64 interpreter.

    Inputs are random, in the ranges and under the promises that the spec declares; the same in every run. `lengths`
    are the numbers of steps; with `ones`, a few also with all sizes one. `progress(done, total)` is called after each
    case. Raises: SpecError for a bad spec."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors are small: to share them out takes longer than to compute them
    try:
        return _verify_all(source, constants, progress, (lengths, SHORT) if ones else (lengths,))
    finally:
        torch.set_num_threads(threads)


def _verify_all(
    source: Source, constants: dict[str, int | float] | None, progress: Progress | None, lengths: Lengths
) -> list[Result]:
    recurrences = front(source, constants).recurrences
    subjects = [_prepare(recurrence, source, constants, *lengths) for recurrence in recurrences]
    runs = [(subject, way, dtype) for subject in subjects for way in subject.ways for dtype in TOLERANCES]
    total = sum(subject.cases for subject, _, _ in runs)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return [_verify_method(*run, advance) for run in runs]


@dataclass(frozen=True)
class _Subject:
    """A recurrence, its emitted function and what to call it with: cases on usual sizes, and cases on sizes of one."""

    recurrence: Recurrence
    ways: tuple[tuple[str, str], ...]  # methods, each with its backend
    parts: tuple[tuple[Caller, tuple[Case, ...]], ...]
    doubts: str  # what is wrong before any case has run

    @property
    def cases(self) -> int:
        return sum(len(cases) for _, cases in self.parts)


def _prepare(
    recurrence: Recurrence,
    source: Source,
    constants: dict[str, int | float] | None,
    lengths: tuple[int, ...],
    ones: tuple[int, ...] = (),
) -> _Subject:
    """What is to be called with `lengths` on usual sizes, and with `ones` on sizes of one."""
    function = _load(recurrence, source, constants)
    parts, doubts = [], []
    for sizes, wanted in ((SIZES, lengths), *([((1,), ones)] if ones else [])):
        shape = Shape(ROWS, LANES, max(wanted), symbolic_sizes(recurrence, sizes))
        oracle = Oracle(recurrence, shape)
        if oracle.forward.has_nan:
            if sizes is SIZES:
                doubts.append("the interpreter itself comes to NaN on random values")
            continue  # on sizes of one, many a normalisation has nothing to divide by
        usable = [steps for steps in wanted if steps <= max(oracle.forward.longest, SHORT[-1])]
        expected = {steps: oracle.expect(steps) for steps in usable}
        parts.append((Caller(function, oracle, expected), plan_cases(usable)))
        doubts += [f"no random values keep the promise `{text}`" for text in oracle.forward.sample.broken]
        slope = oracle.slope_error(SLOPE_STEPS)
        if not slope <= SLOPE_TOLERANCE:
            doubts.append(f"the adjoint is off a finite difference of the interpreter by {slope:.1e}")
    methods = admitted(recurrence, analyse(recurrence))
    ways = [(method, "torch") for method in methods]
    if "sequential" in methods and _has_native(function):
        ways.append(("sequential", "cpu"))
    return _Subject(recurrence, tuple(ways), tuple(parts), "; ".join(dict.fromkeys(doubts)))


def _has_native(function: Callable[..., Any]) -> bool:
    """Whether a function has native code, and this machine a compiler for it."""
    if not sys.modules[function.__module__].SPEC.native:
        return False
    try:
        find_compiler()
    except NativeError:
        return False
    return True


def _load(recurrence: Recurrence, source: Source, constants: dict[str, int | float] | None) -> Callable[..., Any]:
    """The function that is emitted now, whatever was emitted before."""
    text = emit(source, name=recurrence.name, constants=constants)
    module = cache.load(f"verify_{recurrence.name}", cache.key([text], {}), lambda: text)
    return getattr(module, recurrence.name)


def _verify_method(subject: _Subject, way: tuple[str, str], dtype: torch.dtype, advance: Callable[[], None]) -> Result:
    tolerance = TOLERANCES[dtype]
    error = gradient_error = 0.0
    details = [subject.doubts] if subject.doubts else []
    begin = time.perf_counter()
    for caller, cases in subject.parts:
        for case in cases:
            try:
                found = caller.errors(case, way[0], dtype, way[1])
            except Exception as problem:  # whatever an emitted module raises is a finding, not the end
                found = Errors(math.inf, f"{type(problem).__name__}: {problem};", 0.0, "")
            error, gradient_error = max(error, found.value), max(gradient_error, found.gradient)
            for size, what in ((found.value, found.value_of), (found.gradient, f"gradient of {found.gradient_of}")):
                if not size <= tolerance:
                    details.append(f"{what} is off by {size:.1e} with {case.text}")
            advance()
    seconds = time.perf_counter() - begin
    name, kind = subject.recurrence.name, str(dtype).removeprefix("torch.")
    numbers = (subject.cases, error, gradient_error, tolerance, seconds)
    return Result(name, *way, kind, *numbers, not details, _summary(details))


def _summary(details: list[str]) -> str:
    """The first finding, and how many there are."""
    return f"{details[0]} (and {len(details) - 1} more)" if len(details) > 1 else "".join(details)
