"""Threads that share out the rows of a call: Python's, each calling the library without the interpreter's lock."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Lock
from typing import Any

POOLS: dict[int, ThreadPoolExecutor] = {}
MEETING = Lock()


def tickets(blocks: int, parts: int) -> Any:
    """The next row (or part of a block) that no thread has begun, the parts of a block, a place to meet for each."""
    return (ctypes.c_int64 * (2 + 8 * blocks * (parts > 1)))(0, parts)


def share_out(function: Callable[..., int], arguments: tuple[Any, ...], threads: int, meet: bool = False) -> int:
    """Calls a function in several threads at once; each takes what no other has begun.

    Where they `meet`, all of them have to run: one call at a time may have threads that wait for each other."""
    if threads <= 1:
        return function(*arguments)
    with MEETING if meet else nullcontext():
        pool = POOLS.get(threads)
        if pool is None:
            pool = POOLS[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="recc")
        others = [pool.submit(function, *arguments) for _ in range(threads - 1)]
        own = function(*arguments)
        return max(own, *(other.result() for other in others))


def processors() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def forget_threads() -> None:
    """Threads, and what they hold, do not survive a fork."""
    global MEETING
    MEETING = Lock()
    POOLS.clear()


# Where there is no fork there is nothing to do.
getattr(os, "register_at_fork", dict)(after_in_child=forget_threads)
