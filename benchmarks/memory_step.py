"""Measures the memory of one training step, in a process of its own: `memory_step.py SPEC COMPETITOR T SIZES`.

`SIZES` is JSON. Prints JSON: the bytes of the arguments and the output, those that autograd keeps beside the arguments
until the backward pass (storages, each once), and by how much the process's peak grew over what it was before.
"""

from __future__ import annotations

import functools
import json
import resource
import sys
from collections.abc import Callable

import eager
import torch
from cases import Case
from measure import count_bytes
from torch import Tensor

import recc

WARM_UP = 80  # steps; more than a tile, so that all code has run
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def competitor(spec: str, name: str) -> Callable[..., Tensor]:
    if name == "eager":
        return getattr(eager, spec)
    compiled = recc.load(spec)
    return lambda **arguments: compiled(**arguments, method=name)[0]


def train(function: Callable[..., Tensor], leaves: dict[str, Tensor]) -> Tensor:
    """Forward and backward; the loss is the output's sum, whose gradient takes no memory."""
    output = function(**leaves)
    torch.autograd.grad(output.sum(), tuple(leaves.values()))
    return output


def saved_bytes(function: Callable[..., Tensor], leaves: dict[str, Tensor]) -> int:
    """What the forward pass keeps for the backward pass, the arguments' own memory aside."""
    own = {leaf.untyped_storage().data_ptr() for leaf in leaves.values()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that is kept as itself would never be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = function(**leaves)
    del output
    return sum(kept.values())


def leaves_of(case: Case) -> dict[str, Tensor]:
    return {name: value.requires_grad_() for name, value in case.arguments().items()}


def main(spec: str, name: str, steps: str, sizes: str) -> None:
    case = functools.partial(Case, spec, json.loads(sizes))
    function = competitor(spec, name)
    train(function, leaves_of(case(WARM_UP)))
    leaves = leaves_of(case(int(steps)))
    before = peak()
    output = train(function, leaves)
    result = {"arguments": count_bytes(leaves), "output": count_bytes([output]), "peak": peak() - before}
    del output
    print(json.dumps({**result, "saved": saved_bytes(function, leaves)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
