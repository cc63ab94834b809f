"""Many specs verified side by side: each in one of as many processes as there are cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from recc.diagnostics import SpecError
from recc.verify import Progress, Result, verify


def verify_each(
    sources: Sequence[str | Path], constants: dict[str, int | float] | None = None
) -> Iterator[list[Result] | SpecError]:
    """What `verify` gives for each source, in order, or what it raises for a bad spec."""
    workers = min(len(sources), os.cpu_count() or 1)
    if workers < 2:
        for source in sources:
            yield verify_one(source, constants)
        return
    # Not forked: threads of torch, and locks that they hold, do not survive that.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_at_once) as pool:
        found = [pool.submit(verify_one, source, constants) for source in sources]
        try:
            for future in found:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def verify_one(
    source: str | Path, constants: dict[str, int | float] | None = None, progress: Progress | None = None
) -> list[Result] | SpecError:
    """What `verify` gives for a source, or what it raises for a bad spec."""
    try:
        return verify(source, constants=constants, progress=progress)
    except SpecError as error:
        return error


def _leave_at_once() -> None:
    """An interrupted process says nothing: its parent does."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
