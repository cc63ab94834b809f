"""Memory of large results: nobody else's while a result is alive, and used again afterwards."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
import torch

from recc.runtime import native_memory as memory

LARGE = (memory.LARGE_RESULT // 4,)

pytestmark = pytest.mark.skipif(not memory.TAKES_ADVICE, reason="the system takes no such advice")


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    gc.collect()
    memory.HELD.clear()
    yield
    memory.HELD.clear()


def test_memory_is_used_again() -> None:
    first = memory.empty_in_pages(LARGE, torch.float32)
    place = first.data_ptr()
    del first
    assert len(memory.HELD) == 1
    again = memory.empty_in_pages((LARGE[0] // 2, 2), torch.float32)
    assert again.data_ptr() == place
    assert not memory.HELD


def test_views_keep_memory() -> None:
    view = memory.empty_in_pages((*LARGE, 2), torch.float32).fill_(3)[5:, 1]
    other = memory.empty_in_pages((*LARGE, 2), torch.float32).fill_(7)
    assert not memory.HELD
    assert view.eq(3).all()
    assert other.eq(7).all()


def test_what_a_graph_needs_stays() -> None:
    x = torch.ones(LARGE, requires_grad=True)
    kept = memory.empty_in_pages(LARGE, torch.float32).fill_(2)
    y = x * kept
    del kept
    memory.empty_in_pages(LARGE, torch.float32).fill_(9)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.eq(2).all()


def test_much_larger_memory_is_not_wasted() -> None:
    del_me = memory.empty_in_pages((8, *LARGE), torch.float32)
    del del_me
    small = memory.empty_in_pages(LARGE, torch.float32)
    assert len(memory.HELD) == 1
    assert small.numel() == LARGE[0]


def test_no_more_is_held_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_HELD", 5 * memory.LARGE_RESULT)
    alive = [memory.empty_in_pages((count, *LARGE), torch.float32) for count in (1, 2, 3, 6)]
    sizes = [tensor.nbytes for tensor in alive]
    while alive:
        alive.pop(0)
    assert [len(held) for held in memory.HELD] == []  # the last one alone is more than that
    alive = [memory.empty_in_pages((count, *LARGE), torch.float32) for count in (1, 2, 3)]
    while alive:
        alive.pop(0)
    assert [len(held) for held in memory.HELD] == sizes[1:3]


def test_small_results_are_the_allocators() -> None:
    memory.empty_in_pages((LARGE[0] - 1,), torch.float32)
    assert not memory.HELD


def test_threads_never_share_memory() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(30):
            mine = memory.empty_in_pages(LARGE, torch.float32).fill_(number)
            if not mine.eq(number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 1 <= len(memory.HELD) <= 2 * len(threads)  # each frees one when it has the next
