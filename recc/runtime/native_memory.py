"""Memory for large results that a kernel writes from end to end: in large pages, and used again once a result is gone.

The first write to a page costs more than all that a cheap kernel does with it, and an allocator gives memory of this
size back to the system at once. What is held for the next result is at most `MOST_HELD` bytes for a module, which the
system may take back while nobody uses them. Large results cannot be resized."""

import ctypes
import mmap
import weakref
from math import prod

import torch
from torch import Tensor

LARGE_PAGE = 2**21  # bytes: what most processors have
LARGE_RESULT = LARGE_PAGE  # bytes from which on an allocator may not keep memory for the next call
MOST_HELD = 2**30  # bytes
MOST_WASTE = 1.25  # of the memory that is asked for
HUGEPAGE: int = getattr(mmap, "MADV_HUGEPAGE", -1)
FREE: int = getattr(mmap, "MADV_FREE", -1)
TAKES_ADVICE = min(HUGEPAGE, FREE) >= 0
HELD: list[mmap.mmap] = []  # longest unused first


def empty_in_pages(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on the CPU whose values do not matter."""
    count = prod(shape)
    size = count * dtype.itemsize
    if size < LARGE_RESULT or not TAKES_ADVICE:
        return torch.empty(shape, dtype=dtype, device="cpu")
    try:
        memory = held_memory(size) or fresh_memory(size)
    except OSError:
        return torch.empty(shape, dtype=dtype, device="cpu")
    view = (ctypes.c_char * len(memory)).from_buffer(memory)
    weakref.finalize(view, hold, memory).atexit = False
    return torch.frombuffer(view, dtype=dtype, count=count).resize_(shape)


def fresh_memory(size: int) -> mmap.mmap:
    """Memory of a whole number of large pages: then it also begins with one. Raises OSError."""
    whole = -(-size // LARGE_PAGE) * LARGE_PAGE
    memory = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(HUGEPAGE)
    return memory


def held_memory(size: int) -> mmap.mmap | None:
    """The smallest memory held that is large enough, and not much too large; of several the last that was used."""
    most = max(MOST_WASTE * size, size + LARGE_PAGE)
    while fitting := [memory for memory in reversed(HELD) if size <= len(memory) <= most]:
        memory = min(fitting, key=len)
        try:
            HELD.remove(memory)
        except ValueError:  # another thread has taken it
            continue
        return memory
    return None


def hold(memory: mmap.mmap) -> None:
    """Keeps what a result that is gone lay in. Runs wherever the last reference to it ends."""
    try:
        memory.madvise(FREE)
    except OSError:
        return
    HELD.append(memory)
    while sum(map(len, tuple(HELD))) > MOST_HELD:
        del HELD[:1]
