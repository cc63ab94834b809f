"""Measures the memory of one training step in a process of its own: `cpu_memory.py COMPETITOR T BACKEND`.

Prints JSON: bytes of the arguments, those that autograd keeps beside them, and by how much the process's peak grew.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import json
import sys
from pathlib import Path

import cases
import cpu_chunkwise
import eager
import torch
from cases import Arguments
from cpu_contenders import Function, compiled
from cpu_plan import MEMORY_SIZES, MEMORY_SPEC
from measure import count_bytes
from memory_step import peak, saved_bytes, train

WARM_UP = 128  # steps; more than a tile, so that all code has run
CHUNK = 64


def leaves_of(steps: int) -> Arguments:
    drawn = cases.DRAWS[MEMORY_SPEC](MEMORY_SIZES, steps, torch.Generator().manual_seed(0))
    return {name: value.requires_grad_() for name, value in drawn.items()}


def competitor(name: str, backend: str) -> Function:
    if name == "eager":
        return getattr(eager, MEMORY_SPEC)
    if name == "chunkwise":
        return functools.partial(getattr(cpu_chunkwise, MEMORY_SPEC), chunk=CHUNK)
    return compiled(MEMORY_SPEC, backend)


def fresh_peak() -> int:
    """The process's peak, where Linux allows it counted from now on: importing took more than a short sequence does."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # not every C library can give memory back
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
    return peak()


def main(name: str, steps: str, backend: str) -> None:
    function = competitor(name, backend)
    train(function, leaves_of(WARM_UP))
    leaves = leaves_of(int(steps))
    before = fresh_peak()
    output = train(function, leaves)
    result = {"arguments": count_bytes(leaves), "output": count_bytes([output]), "peak": peak() - before}
    del output
    print(json.dumps({**result, "saved": saved_bytes(function, leaves)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
