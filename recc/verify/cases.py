"""Calls of an emitted function in many layouts, each compared with what the oracle expects of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recc.ir.evaluation import Array
from recc.ir.interpreter import Values
from recc.ir.nodes import Recurrence
from recc.verify.oracle import Expected, Oracle

Layout = Literal["contiguous", "strided", "expanded"]


@dataclass(frozen=True)
class Case:
    """One way to call: which rows of the sample, dense or packed, forwards or in reverse.

    `lengths` has the number of steps of each packed sequence, or one for all rows."""

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    given: bool = True  # whether the call gets an initial state
    packed: bool = False
    reverse: bool = False
    layout: Layout = "contiguous"

    @property
    def text(self) -> str:
        size = f"cu_seqlens of {list(self.lengths)}" if self.packed else f"B={len(self.rows)}"
        steps = "" if self.packed else f" T={self.lengths[0]}"
        start = "initial_state" if self.given else "no initial_state"
        return f"{size}{steps}, {start}, {self.layout}{', reverse' if self.reverse else ''}"


class Errors(NamedTuple):
    """The largest errors of values and of gradients, and the names of what had them."""

    value: float
    value_of: str
    gradient: float
    gradient_of: str


def plan_cases(lengths: Sequence[int]) -> tuple[Case, ...]:
    """The cases for two rows with a given state (0, 1) and two without (2, 3)."""
    cases: list[Case] = []
    for number, steps in enumerate(lengths):
        reverse = bool(number % 2)
        cases.append(Case((0, 1), (steps,), True, False, reverse, "strided"))
        if steps < 500:
            cases.append(Case((2, 3), (steps,), False, False, not reverse, "expanded"))
    short = [steps for steps in lengths if steps < 500]
    unequal = (short[-1], 0, short[1], short[-1], short[-2])
    cases.append(Case((0, 1, 0, 1, 0), unequal, True, True, False))
    cases.append(Case((2, 3, 2, 3, 2), unequal, False, True, True, "strided"))
    return (*cases, Case((0,), (0,), True, True), Case((), (lengths[-1],), False), Case((), (1,)))


class Caller:
    """Runs cases of one emitted function in one dtype and with one method."""

    def __init__(self, function: Callable[..., Any], oracle: Oracle, expected: dict[int, Expected]):
        self._function, self._oracle, self._expected = function, oracle, expected
        self._recurrence: Recurrence = oracle.recurrence

    def errors(self, case: Case, method: str, dtype: torch.dtype, backend: str = "torch") -> Errors:
        """Call the function, differentiate it, and compare."""
        inputs, params, states = self._leaves(case, dtype)
        outputs, finals = self._call(case, (method, backend), inputs, params, states)
        want, want_finals = self._timed(case, "outputs"), self._rows(case, "finals")
        values = [(o.name, got, want[o.name]) for o, got in zip(self._recurrence.outputs, outputs, strict=True)]
        names = self._recurrence.state_names
        values += [(f"final {s}", got, want_finals[s]) for s, got in zip(names, finals, strict=True)]
        cotangents = [*self._timed(case, "d_outputs").values(), *self._rows(case, "d_finals").values()]
        leaves = [*inputs, *params, *(states or ())]
        gradients = _pull([got for _, got, _ in values], cotangents, leaves)
        wanted = self._gradients(case)
        pairs = [(name, got, want) for (name, want), got in zip(wanted.items(), gradients, strict=True)]
        return Errors(*_worst(values), *_worst(pairs))

    def _leaves(self, case: Case, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor], list[Tensor] | None]:
        sample, take = self._oracle.forward.sample, list(case.rows)
        inputs = [self._join(case, [value] * len(case.lengths)) for value in sample.inputs.values()]
        params = [_param_layout(value, take) for value in sample.params.values()]
        starts = [value[take][:, :, 0] for value in self._oracle.forward.states.values()] if case.given else None
        layout: Layout = "strided" if case.layout == "strided" else "contiguous"
        return (
            [_leaf(value, dtype, layout) for value in inputs],
            [_leaf(value, dtype, "contiguous") for value in params],
            None if starts is None else [_leaf(value, dtype, layout) for value in starts],
        )

    def _call(
        self, case: Case, way: tuple[str, str], inputs: list[Tensor], params: list[Tensor], states: list[Tensor] | None
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        if case.layout == "expanded":
            lanes = self._oracle.forward.sample.shape.lanes
            inputs = [x.expand(*x.shape[:2], lanes, *x.shape[3:]) for x in inputs]
        bounds = torch.tensor([0, *np.cumsum(case.lengths)], dtype=torch.int64) if case.packed else None
        options = {
            "cu_seqlens": bounds,
            "reverse": case.reverse,
            "method": way[0],
            "backend": way[1],
            "output_final_state": True,
        }
        start = None if states is None else tuple(states)
        outputs, finals = self._function(*inputs, *params, initial_state=start, **options)
        return _as_tuple(outputs), _as_tuple(finals)

    def _join(self, case: Case, arrays: Sequence[Array]) -> Array:
        """Rows of arrays `(rows, lanes, T, ...)`, one for each length, cut and turned: `(B, T, lanes, ...)`."""

        def line(value: Array, steps: int) -> Array:
            return np.moveaxis(value[:, :, :steps][:, :, :: -1 if case.reverse else 1], 2, 1)

        if not case.packed:
            return line(arrays[0][np.array(case.rows, int)], case.lengths[0])
        lines = [line(v, steps)[row] for v, row, steps in zip(arrays, case.rows, case.lengths, strict=True)]
        return np.concatenate(lines)[None]

    def _timed(self, case: Case, what: str) -> Values:
        parts = [getattr(self._expected[steps], what) for steps in case.lengths]
        return {name: self._join(case, [part[name] for part in parts]) for name in parts[0]}

    def _rows(self, case: Case, what: str) -> Values:
        parts = [getattr(self._expected[steps], what) for steps in case.lengths]
        if not case.packed:
            return {name: value[np.array(case.rows, int)] for name, value in parts[0].items()}
        return {name: np.stack([part[name][r] for part, r in zip(parts, case.rows, strict=True)]) for name in parts[0]}

    def _gradients(self, case: Case) -> Values:
        """Expected gradients of all leaves, in order, summed over the rows and lanes that a leaf has in common."""
        sample = self._oracle.forward.sample
        inputs = self._timed(case, "d_inputs")
        for name, value in sample.inputs.items():
            if value.shape[1] == 1:
                inputs[name] = inputs[name].sum(axis=2, keepdims=True)
        params = self._rows(case, "d_params")
        if not case.given:
            through = self._rows(case, "d_start_params")
            params = {name: value + through.get(name, 0) for name, value in params.items()}
        found = {name: _summed(params[name], value.shape[:2]) for name, value in sample.params.items()}
        starts = {f"initial {name}": value for name, value in self._rows(case, "d_starts").items()}
        return {**inputs, **found, **(starts if case.given else {})}


def _param_layout(value: Array, take: list[int]) -> Array:
    """A param `(rows or 1, lanes or 1, ...)` as a call takes it: without what it does not depend on."""
    if value.shape[0] > 1:
        return value[take]
    return value[0] if value.shape[1] > 1 else value[0, 0]


def _summed(gradient: Array, lead: tuple[int, ...]) -> Array:
    if lead[0] > 1:
        return gradient
    return gradient.sum(axis=0) if lead[1] > 1 else gradient.sum(axis=(0, 1))


def _leaf(value: Array, dtype: torch.dtype, layout: Layout) -> Tensor:
    """A tensor that gradients are wanted of; strided, it is every second element of a larger one, turned around."""
    kind = dtype.to_complex() if np.iscomplexobj(value) else dtype
    tensor = _tensor(value).to(kind)
    if layout == "strided" and tensor.dim():
        wide = tensor.repeat_interleave(2, tensor.dim() - 1).transpose(0, -1).contiguous().transpose(0, -1)
        tensor = wide[..., ::2]
    return tensor.detach().requires_grad_()


def _tensor(value: Array) -> Tensor:
    return torch.from_numpy(np.array(value, order="C"))


def _pull(outputs: Sequence[Tensor], cotangents: Sequence[Array], leaves: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of all leaves, zero where nothing depends on one."""
    pairs = [
        (out, _tensor(cotangent).to(out.dtype))
        for out, cotangent in zip(outputs, cotangents, strict=True)
        if out.requires_grad
    ]
    if not pairs:
        return [torch.zeros_like(leaf) for leaf in leaves]
    given, wanted = [out for out, _ in pairs], [cotangent for _, cotangent in pairs]
    found = torch.autograd.grad(given, leaves, wanted, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)]


def _worst(triples: Iterable[tuple[str, Tensor, Array]]) -> tuple[float, str]:
    found = [(discrepancy(got.detach().resolve_conj().numpy(), want), name) for name, got, want in triples]
    return max(found, default=(0.0, ""))


def discrepancy(got: Array, want: Array) -> float:
    """`max |got - want| / (1 + max |want|)`; infinite if shapes differ, or what is infinite or NaN does."""
    if got.shape != want.shape:
        return float("inf")
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf")
    largest = float(np.max(np.abs(want[finite]), initial=0.0))
    return float(np.max(np.abs(got[finite] - want[finite]), initial=0.0)) / (1 + largest)


def _as_tuple(values: Any) -> Sequence[Tensor]:
    return (values,) if isinstance(values, Tensor) else values
