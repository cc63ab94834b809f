"""What the machine can do at most: `cpu_limits.py [--quick] [--clock CLOCK]` prints JSON.

The rate of fused multiply-adds in registers and of matrix products in float32, and the memory's bandwidth by the triad
of McCalpin's STREAM, by as many threads as torch uses; and what times depend on.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from measure import machine

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
ROUNDS = 2**26  # some 0.2 seconds
ELEMENTS = 2**25  # of each of three arrays: 384 MiB, beyond any cache
ORDER = 4096  # of the matrices
REPETITIONS = 7
VECTOR = 16  # floats in the largest vector register


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--quick", action="store_true")
    made.add_argument("--clock", default="wall")
    options = made.parse_args()
    shrink = 2**10 if options.quick else 1
    about = {**machine(options.clock), "versions": versions()}
    print(json.dumps({"machine": about, "limits": limits(shrink)}))


def limits(shrink: int) -> dict[str, float]:
    """Operations a second, and bytes a second, the best of some repetitions; all sizes divided by `shrink`."""
    with tempfile.TemporaryDirectory() as folder:
        library = built(Path(folder))
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            found = {"fma": fma(library, pool, ROUNDS // shrink), "triad": triad(library, pool, ELEMENTS // shrink)}
    return {**found, "gemm": gemm(max(64, ORDER // shrink))}


def built(folder: Path) -> Any:
    """The C loops as a library. RuntimeError without a C compiler; CalledProcessError if it fails."""
    command = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or shutil.which("gcc") or "clang"]
    if shutil.which(command[0]) is None:
        raise RuntimeError(f"no C compiler: {command[0]}")
    target = folder / "limits.so"
    subprocess.run([*command, *FLAGS, str(SOURCE), "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    library.multiply_add.argtypes = (ctypes.c_ssize_t, ctypes.c_float, ctypes.c_void_p)
    library.multiply_add.restype = ctypes.c_double
    library.triad.argtypes = (ctypes.c_ssize_t, ctypes.c_float, *(ctypes.c_void_p,) * 3)
    return library


def together(pool: ThreadPoolExecutor, work: Callable[[int], Any]) -> Any:
    """`work` of each thread's number, at the same time: ctypes lets go of the interpreter."""
    return list(pool.map(work, range(torch.get_num_threads())))


def fastest(call: Callable[[], Any]) -> float:
    call()
    seconds = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def fma(library: Any, pool: ThreadPoolExecutor, rounds: int) -> float:
    kept = torch.zeros(torch.get_num_threads(), VECTOR)
    done = 0.0

    def run() -> None:
        nonlocal done
        done = sum(together(pool, lambda n: library.multiply_add(rounds, 0.5, kept[n].data_ptr())))

    seconds = fastest(run)
    return done / seconds


def triad(library: Any, pool: ThreadPoolExecutor, elements: int) -> float:
    threads = torch.get_num_threads()
    share = elements // threads
    arrays = torch.ones(3, threads, share)  # b, c, a

    def part(number: int) -> None:
        library.triad(share, 0.5, *(arrays[place, number].data_ptr() for place in range(3)))

    return 12 * share * threads / fastest(lambda: together(pool, part))


def gemm(order: int) -> float:
    x, y = torch.randn(2, order, order)
    result = torch.empty(order, order)
    return 2 * order**3 / fastest(lambda: torch.mm(x, y, out=result))


def versions() -> dict[str, str | None]:
    """Of the competitors that need not be there."""
    found: dict[str, str | None] = {}
    for name in ("jax", "numba"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    main()
