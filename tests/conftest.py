"""What every test runs with: fresh memory that is full of NaN, a cache of its own, one thread a worker."""

import os
import zlib
from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh_memory_is_nan() -> Iterator[None]:
    """A kernel that reads what it did not write must not pass by luck.

    In this mode torch fills all memory it hands out uninitialised, in `empty`, `empty_like`, `new_empty`, `resize_` and
    inside of its own operators: floats with NaN, integers with their largest value.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(autouse=True, scope="session")
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Compiled recurrences go to a directory of this run, in subprocesses too."""
    before = os.environ.get("RECC_CACHE_DIR")
    directory = str(tmp_path_factory.mktemp("recc_cache"))
    os.environ["RECC_CACHE_DIR"] = directory
    yield directory
    if before is None:
        del os.environ["RECC_CACHE_DIR"]
    else:
        os.environ["RECC_CACHE_DIR"] = before


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow-part", default="", help="run one part of the slow tests: 3/10 is the fourth of ten")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every slow test belongs to one part, by its name, so that all parts together are all tests."""
    wanted = config.getoption("--slow-part")
    if not wanted:
        return
    part, parts = (int(number) for number in wanted.split("/"))
    belongs = [zlib.crc32(item.nodeid.encode()) % parts == part for item in items]
    config.hook.pytest_deselected(items=[item for item, own in zip(items, belongs, strict=True) if not own])
    items[:] = [item for item, own in zip(items, belongs, strict=True) if own]
