"""What `recc explain --sizes` says: how long every way to run a recurrence should take at given sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recc.backends.torch.estimate import step_work
from recc.backends.torch.module import expected_costs
from recc.ir.nodes import Recurrence, Var
from recc.passes.analyse import Analysis
from recc.passes.cost import NOTHING, RATES, Cost, PassCost
from recc.runtime.costs import BUILD_SHARE, Expected, Rates, StepWork, cheapest, expected_seconds

OWN = {"T": "steps", "B": "sequences", "H": "lanes"}  # what may be given beside the sizes of a spec
WAYS = {"sequential": ("sequential", "torch"), "scan": ("scan", "torch"), "native": ("sequential", "cpu")}
WORD = 4  # bytes of a float32


class SizesError(ValueError):
    """Sizes that do not fit a recurrence; the message says which."""


@dataclass(frozen=True)
class Way:
    """A method and a backend: seconds for a forward pass and for both passes, bytes of the states that it has at once,
    and bytes that a forward pass moves for all steps."""

    method: str
    backend: str
    forward: float
    training: float
    state: int
    traffic: int


@dataclass(frozen=True)
class Expectation:
    """All ways at some sizes, and what `auto` takes forwards and in training."""

    sizes: dict[str, int]
    threads: int
    ways: tuple[Way, ...]
    forward: Way
    training: Way
    chunks: tuple[int, ...] = ()  # in which native code walks the time of each row, forwards and back

    def text(self) -> str:
        """For a person."""
        given = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        lines = [f"expected at {given}, {threads}, float32"]
        lines.append(
            f"  {'method':<12}  {'backend':<7}  {'forward':>9}  {'with backward':>13}  {'state':>9}  {'moved':>9}"
        )
        for way in self.ways:
            times = f"{_seconds(way.forward):>9}  {_seconds(way.training):>13}"
            lines.append(
                f"  {way.method:<12}  {way.backend:<7}  {times}  {_bytes(way.state):>9}  {_bytes(way.traffic):>9}"
            )
        return "\n".join([*lines, "", *self._choice()]) + "\n"

    def _choice(self) -> list[str]:
        forward, training = (f"{way.method} on {way.backend}" for way in (self.forward, self.training))
        also = "" if training == forward else f"; in training {training}"
        lines = [f"auto: {forward}{also}", f"  {self.why}"]
        if max(self.chunks, default=1) > 1:
            counts = " and ".join(
                f"{count} {way}" for count, way in zip(self.chunks, ("forwards", "back"), strict=True)
            )
            lines.append(f"  native code shares time out: chunks of each row, {counts}")
        return lines

    @property
    def why(self) -> str:
        """What decided."""
        if not any(way.backend == "cpu" for way in self.ways):
            return "the least expected time; there is no native code"
        share = _seconds(BUILD_SHARE)
        return f"the least expected time, where native code has {share} more: its share of what building takes"

    def json(self) -> dict[str, Any]:
        """For programs."""
        auto = {name: {"method": w.method, "backend": w.backend} for name, w in self._chosen().items()}
        ways = [asdict(way) for way in self.ways]
        return {
            "sizes": self.sizes,
            "threads": self.threads,
            "ways": ways,
            "auto": {**auto, "why": self.why},
            "chunks": dict(zip(("forward", "backward"), self.chunks, strict=True)),
        }

    def _chosen(self) -> dict[str, Way]:
        return {"forward": self.forward, "training": self.training}


def expectation(
    recurrence: Recurrence,
    analysis: Analysis,
    methods: Mapping[str, tuple[Cost, Cost]],
    given: Mapping[str, int],
    threads: int = 1,
) -> Expectation:
    """The times that are expected at sizes by name, with `T` for the steps, `B` for the sequences and `H` for the lanes
    (1 if not given). `methods` have work and bytes, of a step and row.

    Raises: SizesError for names that are unknown or missing, and for sizes below one."""
    sizes = complete(recurrence, given)
    inner = {name: sizes[name] for name in symbols(recurrence)} | dict(recurrence.sizes)
    steps, rows = (
        math.prod(sizes[name] for name in names if name in sizes.keys() - inner.keys()) for names in ("T", "BH")
    )
    passes = [step_work(cost, inner) for cost in expected_costs(recurrence, analysis)]

    def seconds(work: list[StepWork]) -> Expected:
        return expected_seconds(work, Rates(*RATES), steps, rows, threads, threads)

    forward, training = seconds(passes[:1]), seconds(passes)
    state = WORD * rows * sum(elements(item.var, inner) for item in recurrence.states)
    found: dict[str, Way] = {}
    for name, (method, backend) in WAYS.items():
        times = getattr(forward, name), getattr(training, name)
        if math.inf not in times:
            tiles = math.isqrt(steps) if method == "scan" else 1
            found[name] = Way(method, backend, *times, tiles * state, rows * steps * methods[method][1].at(inner))
    if "convolution" in methods:
        work, nbytes = methods["convolution"]
        once = seconds([step_work(PassCost(NOTHING, None, work), inner)]).sequential
        found["convolution"] = Way("convolution", "torch", once, 3 * once, state, rows * steps * nbytes.at(inner))
    first, second = (found[cheapest(expected)] for expected in (forward, training))
    return Expectation(sizes, threads, tuple(found.values()), first, second, training.chunks)


def complete(recurrence: Recurrence, given: Mapping[str, int]) -> dict[str, int]:
    """All sizes that a call has, in the order of `T`, `B`, `H` and the spec. Raises: SizesError."""
    names, fixed = symbols(recurrence), dict(recurrence.sizes)
    known = [*(name for name in OWN if name not in names and name not in fixed), *names]
    for name, size in given.items():
        if name in fixed:
            raise SizesError(
                f"{name} is a constant of {recurrence.name}, {fixed[name]}; `--set` gives it another value"
            )
        if name not in known:
            raise SizesError(f"{recurrence.name} has no size {name}, only {', '.join(known)}")
        if size < 1:
            raise SizesError(f"{name} is {size}, and has to be at least 1")
    missing = [name for name in known if name not in given and name not in ("B", "H")]
    if missing:
        about = "".join(f" ({name} is the number of {OWN[name]})" for name in missing if name in OWN)
        raise SizesError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing{about}")
    return {name: given.get(name, 1) for name in known}


def symbols(recurrence: Recurrence) -> list[str]:
    """The sizes that a spec leaves open, in order of appearance."""
    return [name for name in recurrence.symbols if name not in dict(recurrence.sizes)]


def elements(var: Var, sizes: Mapping[str, int]) -> int:
    """Real numbers in a value."""
    return math.prod(size if isinstance(size, int) else sizes[size] for size in var.sizes) * (1 + var.complex)


def _seconds(value: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if value * factor >= 0.9995:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def _bytes(count: int) -> str:
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.3g} {unit}"
    return f"{count} B"
