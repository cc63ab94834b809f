"""Many specs verified side by side: each in one of as many processes as there are cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from recc.diagnostics import Diagnostic, SpecError
from recc.verify import Result, verify


def verify_each(
    sources: Sequence[str | Path], constants: dict[str, int | float] | None = None
) -> Iterator[list[Result] | SpecError]:
    """What `verify` gives for each source, in order, or what it raises for a bad spec."""
    workers = min(len(sources), os.cpu_count() or 1)
    if workers < 2:
        for source in sources:
            yield _verified(source, constants)
        return
    # Not forked: threads of torch, and locks that they hold, do not survive that.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_at_once) as pool:
        found = [pool.submit(_picklable, source, constants) for source in sources]
        try:
            for future in found:
                result = future.result()
                yield SpecError(result) if isinstance(result, tuple) else result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _verified(source: str | Path, constants: dict[str, int | float] | None) -> list[Result] | SpecError:
    try:
        return verify(source, constants=constants)
    except SpecError as error:
        return error


def _picklable(source: str | Path, constants: dict[str, int | float] | None) -> list[Result] | tuple[Diagnostic, ...]:
    found = _verified(source, constants)
    return tuple(found.diagnostics) if isinstance(found, SpecError) else found


def _leave_at_once() -> None:
    """An interrupted process says nothing: its parent does."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
