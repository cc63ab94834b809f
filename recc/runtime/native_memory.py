"""Memory for results that a kernel writes from end to end: in large pages, where the system has them.

The first write to a page of the usual size costs more than all that a cheap kernel does with it."""

import mmap
from math import prod

import torch
from torch import Tensor

LARGE_PAGE = 2**21  # bytes: what most processors have
LARGE_RESULT = 2**25  # bytes from which on memory is not kept by the allocator for the next call
HUGEPAGE = getattr(mmap, "MADV_HUGEPAGE", None)  # None where the system takes no such advice


def empty_in_pages(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on the CPU whose values do not matter."""
    count = prod(shape)
    size = count * dtype.itemsize
    if HUGEPAGE is None or size < LARGE_RESULT:
        return torch.empty(shape, dtype=dtype)
    try:
        # A whole number of large pages: then it also begins with one.
        whole = -(-size // LARGE_PAGE) * LARGE_PAGE
        memory = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(HUGEPAGE)
    except OSError:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=count).resize_(shape)
