"""Everything that computes a recurrence, brought to one form for timing.

A contender has variants (chunk sizes, ways to run a scan), of which the fastest is measured. A variant is prepared for
arguments, which brings them to its library's arrays, and becomes a call without arguments.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cpu_associative
import cpu_chunkwise
import cpu_eager
import eager
import torch
from cases import Arguments
from torch import Tensor

import recc

CHUNKS = (16, 32, 64, 128)
Function = Callable[..., Tensor]
Call = Callable[[], Any]
Prepare = Callable[[Arguments, "Tensor | None"], Call]  # for a forward pass, or with a cotangent for both
OPTIONAL = ("jax", "numba")


@dataclass(frozen=True)
class Contender:
    """Variants by label; `trains` says whether they have a backward pass, `rival` whether the figures to reach are
    about it: those of torch and JAX are."""

    variants: Mapping[str, Prepare]
    trains: bool = True
    rival: bool = True


def contenders(spec: str, steps: int, backend: str) -> dict[str, Contender]:
    """All that compute `spec` over `steps` steps, a loop in torch first. jax and numba are there if installed."""
    by_hand = getattr(cpu_eager, spec, None) or getattr(eager, spec)
    found = {"eager": single(by_hand)}
    if hasattr(cpu_chunkwise, spec):
        chunkwise = getattr(cpu_chunkwise, spec)
        sizes = [size for size in CHUNKS if steps % size == 0]
        found["chunkwise"] = Contender(
            {str(size): in_torch(functools.partial(chunkwise, chunk=size)) for size in sizes}
        )
    if hasattr(cpu_associative, spec):
        found["associative"] = single(torch.compile(getattr(cpu_associative, spec), fullgraph=True))
    if spec in LAYERS:
        found["torch.nn"] = single(functools.partial(cpu_eager.torch_layer, LAYERS[spec]))
    found |= with_jax(spec, optional("cpu_jax")) | with_numba(spec, optional("cpu_numba"))
    found["recc torch"] = Contender({"": in_torch(compiled(spec, "torch"))}, rival=False)
    found["recc"] = Contender({"": in_torch(compiled(spec, backend))}, rival=False)
    return found


def optional(name: str) -> ModuleType | None:
    """One of this folder's modules, or None without the library it needs; with as many threads as torch has."""
    threads = str(torch.get_num_threads())
    os.environ["NPROC"] = os.environ["NUMBA_NUM_THREADS"] = threads
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        return None


HERE = Path(__file__).parent
LAYERS: dict[str, Any] = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def compiled(spec: str, backend: str) -> Function:
    """recc's module as a function to the first output; `gru` and `lstm` with the product of inputs and weights."""
    if spec not in LAYERS:
        function: Any = recc.load(spec, backend=backend)
        return lambda **given: function(**given)[0]
    layer: Any = recc.load(HERE / f"{spec}_layer.rec", backend=backend)
    return functools.partial({"gru": gru_layer, "lstm": lstm_layer}[spec], layer)


def gru_layer(layer: Any, x: Tensor, W: Tensor, U: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    b_r, b_z, _ = (b_x + b_h).chunk(3)
    return layer(x, *W.chunk(3), *U.chunk(3), b_r, b_z, b_x.chunk(3)[2], b_h.chunk(3)[2])[0]


def lstm_layer(layer: Any, x: Tensor, W: Tensor, U: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    return layer(x, *W.chunk(4), *U.chunk(4), *(b_x + b_h).chunk(4))[0]


def single(function: Function) -> Contender:
    return Contender({"": in_torch(function)})


def in_torch(function: Function) -> Prepare:
    def prepare(arguments: Arguments, cotangent: Tensor | None) -> Call:
        if cotangent is None:
            return functools.partial(forward, function, arguments)
        leaves = {name: value.clone().requires_grad_() for name, value in arguments.items()}
        return functools.partial(trained, function, leaves, cotangent)

    return prepare


@torch.no_grad()
def forward(function: Function, arguments: Arguments) -> Tensor:
    return function(**arguments)


def trained(function: Function, leaves: Arguments, cotangent: Tensor) -> tuple[Tensor, ...]:
    """One forward and one backward pass; the gradients of all arguments."""
    return torch.autograd.grad(function(**leaves), tuple(leaves.values()), cotangent)


def with_jax(spec: str, found: Any) -> dict[str, Contender]:
    if found is None:
        return {}

    def prepare(jitted: Any, arguments: Arguments, cotangent: Tensor | None) -> Call:
        given = {name: found.np.asarray(value.numpy()) for name, value in arguments.items()}
        if cotangent is None:
            return lambda: jitted.forward(given).block_until_ready()
        upstream = found.np.asarray(cotangent.numpy())
        return lambda: ordered(arguments, found.jax.block_until_ready(jitted.training(given, upstream)))

    scans = {label: found.Jitted(found.SCANS[spec], manner) for label, manner in found.MANNERS.items()}
    made = {"jax scan": Contender({label: functools.partial(prepare, jitted) for label, jitted in scans.items()})}
    if spec in found.ASSOCIATIVE:
        jitted = found.Jitted(found.SCANS[spec], None)
        made["jax associative"] = Contender({"": functools.partial(prepare, jitted)})
    return made


def ordered(arguments: Arguments, gradients: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(gradients[name] for name in arguments)


def with_numba(spec: str, found: Any) -> dict[str, Contender]:
    if found is None or spec not in found.LOOPS:
        return {}

    def prepare(arguments: Arguments, cotangent: Tensor | None) -> Call:
        return functools.partial(found.LOOPS[spec], *(value.numpy() for value in arguments.values()))

    return {"numba": Contender({"": prepare}, trains=False, rival=False)}
