"""Emitted functions of the specs that ship, with random arguments for them, and what the tests compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import recc
from recc.ir.nodes import Ref
from recc.ir.traverse import nodes
from recc.passes.analyse import analyse
from recc.passes.methods import admitted
from tests.references import CORE, NAMES, load, random_case
from tests.references.ports import SIZES, Arrays


@cache
def function(name: str) -> Callable[..., Any]:
    return recc.load(name)


@cache
def methods(name: str) -> tuple[str, ...]:
    recurrence = recc.check(name).recurrences[0]
    return admitted(recurrence, analyse(recurrence))


def each(names: Sequence[str] = NAMES) -> list[Any]:
    """Parameters of a test of every spec; those outside of the core are slow."""
    return [pytest.param(name, marks=marks(name)) for name in names]


def name_and_method(names: Sequence[str] = NAMES, quick: bool = False) -> list[Any]:
    """Parameters of a test of every spec with every method; those outside of the core are slow, unless `quick`."""
    pairs = [(name, method) for name in names for method in methods(name)]
    return [pytest.param(*pair, marks=() if quick else marks(pair[0]), id="-".join(pair)) for pair in pairs]


def is_complex(name: str) -> bool:
    """Whether any variable of a spec is complex."""
    ports = load(name).SHAPES
    return any(port.complex for kind in ports.values() for port in kind.values())


@cache
def still(name: str) -> frozenset[int]:
    """Places among a problem's tensors that nothing is differentiated by: params that only a start reads, and states
    that count."""
    ports, recurrence = load(name).SHAPES, recc.check(name).recurrences[0]
    results = (*recurrence.updates, *(output.expr for output in recurrence.outputs))
    exprs = (*(let.expr for let in recurrence.lets), *results)
    read = {node.name for expr in exprs for node in nodes(expr) if isinstance(node, Ref)}
    params, states = list(ports["params"]), list(ports["states"].values())
    first, second = len(ports["inputs"]), len(ports["inputs"]) + len(params)
    unread = [first + place for place, param in enumerate(params) if param not in read]
    return frozenset([*unread, *(second + place for place, port in enumerate(states) if port.whole)])


# Programs whose outputs do not move with later inputs, or only in jumps.
INERT = frozenset({"lsrl_first_token_echo", "lsrl_majority"})


def marks(name: str) -> tuple[Any, ...]:
    return () if name in CORE else (pytest.mark.slow,)


@dataclass(frozen=True)
class Problem:
    """Arguments of one call: inputs `(B, T, ...)`, params `(...)`, states `(B, ...)`."""

    name: str
    method: str
    inputs: tuple[Tensor, ...]
    params: tuple[Tensor, ...]
    states: tuple[Tensor, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.inputs, *self.params, *self.states)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Problem:
        n, m = len(self.inputs), len(self.inputs) + len(self.params)
        return replace(self, inputs=tuple(tensors[:n]), params=tuple(tensors[n:m]), states=tuple(tensors[m:]))

    def to(self, dtype: torch.dtype) -> Problem:
        kind = torch.complex128 if dtype == torch.float64 else torch.complex64
        return self.with_tensors([t.to(kind if t.is_complex() else dtype) for t in self.tensors])

    def leaves(self) -> Problem:
        return self.with_tensors([t.detach().clone().requires_grad_() for t in self.tensors])


def cases(name: str, T: int, rows: int, seed: int, sizes: dict[str, int]) -> tuple[list[Arrays], Arrays, list[Arrays]]:
    """Inputs of each row, params of all, and a state of each row that three other steps lead to."""
    rng = np.random.default_rng(seed)
    module = load(name)
    params = random_case(name, 1, sizes, rng)[1]
    start = module.start(params, {**module.CONSTANTS, **sizes})
    states = [module.reference(random_case(name, 3, sizes, rng)[0], params, start)[1] for _ in range(rows)]
    return [random_case(name, T, sizes, rng)[0] for _ in range(rows)], params, states


def problem(
    name: str, method: str = "auto", T: int = 7, rows: int = 2, seed: int = 0, sizes: dict[str, int] = SIZES
) -> Problem:
    """In double precision."""
    inputs, params, states = cases(name, T, rows, seed, sizes)

    def stacked(arrays: list[Arrays]) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(np.stack([np.asarray(a[key]) for a in arrays])) for key in arrays[0])

    values = tuple(torch.from_numpy(np.array(value)) for value in params.values())
    return Problem(name, method, stacked(inputs), values, stacked(states))


def flat(values: Any) -> tuple[Tensor, ...]:
    return (values,) if isinstance(values, Tensor) else tuple(values)


def call(given: Problem, **options: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Outputs and final states of a whole sequence, from the problem's states unless `initial_state` is an option."""
    options = {"initial_state": given.states, "method": given.method, **options}
    outputs, finals = function(given.name)(*given.inputs, *given.params, output_final_state=True, **options)
    return flat(outputs), flat(finals)


def call_flat(given: Problem, **options: Any) -> tuple[Tensor, ...]:
    outputs, finals = call(given, **options)
    return (*outputs, *finals)


def random_like(tensors: Sequence[Tensor], seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in tensors)


def gradients(results: Sequence[Tensor], leaves: Sequence[Tensor], cotangents: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Of a random combination of results, zero where nothing depends on a leaf."""
    pairs = [(r, c) for r, c in zip(results, cotangents, strict=True) if r.requires_grad]
    found = torch.autograd.grad([r for r, _ in pairs], leaves, [c for _, c in pairs], True, allow_unused=True)
    return tuple(torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True))
