"""Scans of specs in text, against the interpreter and against the walk, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from recc.compiler import front
from recc.ir.interpreter import run

Arrays = dict[str, np.ndarray]


@cache
def compiled(text: str) -> Callable[..., Any]:
    return recc.load(text)


def listed(values: Any) -> tuple[Tensor, ...]:
    return (values,) if isinstance(values, Tensor) else tuple(values)


def tensors(arrays: Arrays) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.array(value)) for value in arrays.values())


def call(text: str, inputs: Arrays, params: Arrays, states: Arrays | None, **options: Any) -> tuple[Tensor, ...]:
    """Outputs and final states; inputs `(B, T, ...)`, states `(B, ...)`."""
    start = None if states is None else tensors(states)
    given = (*tensors(inputs), *tensors(params))
    outputs, finals = compiled(text)(*given, initial_state=start, output_final_state=True, **options)
    return (*listed(outputs), *listed(finals))


def interpreted(text: str, inputs: Arrays, params: Arrays, states: Arrays | None) -> tuple[Tensor, ...]:
    outputs, finals, _ = run(front(text).recurrences[0], inputs, params, states)
    return tuple(torch.from_numpy(np.array(value)) for value in (*outputs.values(), *finals.values()))


def check(text: str, inputs: Arrays, params: Arrays, states: Arrays | None = None, tolerance: float = 1e-11) -> None:
    """Values of the scan against the interpreter, its gradients against those of the walk."""
    found = call(text, inputs, params, states, method="scan")
    assert_close(found, interpreted(text, inputs, params, states), rtol=tolerance, atol=tolerance)
    slopes = [slopes_of(text, inputs, params, states, method) for method in ("sequential", "scan")]
    for walked, scanned in zip(*slopes, strict=True):
        scale = 1 + float(walked.abs().max()) if walked.numel() else 1.0
        assert_close(scanned / scale, walked / scale, rtol=0, atol=tolerance)


def slopes_of(text: str, inputs: Arrays, params: Arrays, states: Arrays | None, method: str) -> tuple[Tensor, ...]:
    """Gradients of a random combination of outputs and final states by everything that was given."""
    groups = [tensors(inputs), tensors(params), tensors(states or {})]
    leaves = [[t.requires_grad_() for t in group] for group in groups]
    start = None if states is None else tuple(leaves[2])
    options = {"initial_state": start, "output_final_state": True, "method": method}
    outputs, finals = compiled(text)(*leaves[0], *leaves[1], **options)
    results = [r for r in (*listed(outputs), *listed(finals)) if r.requires_grad]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(r.shape, dtype=r.dtype, generator=generator) for r in results]
    wanted = [leaf for group in leaves for leaf in group]
    slopes = torch.autograd.grad(results, wanted, weights, allow_unused=True)
    return tuple(torch.zeros_like(leaf) if g is None else g for leaf, g in zip(wanted, slopes, strict=True))


def higher_derivatives(
    text: str, given: Sequence[Tensor], states: Sequence[Tensor] | None, method: str
) -> list[Tensor]:
    """Of the sum of squares of all outputs: value and slope along a direction, the gradient of the gradient's square,
    and the first gradient's slope along the direction."""
    generator = torch.Generator().manual_seed(3)
    moves = tuple(torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in given)

    def loss(*leaves: Tensor) -> Tensor:
        outputs, _ = compiled(text)(*leaves, initial_state=states, method=method)
        return torch.stack([(out * out).sum() for out in listed(outputs)]).sum()

    def slope(first: Tensor) -> Tensor:
        return torch.func.grad(loss)(first, *given[1:])

    pushed: Any = torch.func.jvp(loss, tuple(given), moves)
    leaves = [x.clone().requires_grad_() for x in given]
    slopes = torch.autograd.grad(loss(*leaves), leaves, create_graph=True)
    twice = torch.autograd.grad(torch.stack([(s * s).sum() for s in slopes]).sum(), leaves)
    turned: Any = torch.func.jvp(slope, (given[0],), (moves[0],))
    return [*pushed, *twice, *turned]
