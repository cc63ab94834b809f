"""Times the first calls of an emitted module in a new process: `cpu_building.py MODULE SPEC [--quick]` prints JSON.

Seconds to import the module (torch is imported before), for the first call, which builds native code or finds what was
built, and for the second. Arguments are drawn before, so that torch has started its threads.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import cases
import torch
from cpu_plan import planned

STEPS = 64


def main(path: str, spec: str, *flags: str) -> None:
    sizes = planned(spec, "--quick" in flags).sizes
    drawn = cases.DRAWS[spec](sizes, STEPS, torch.Generator().manual_seed(0))
    began = time.perf_counter()
    function = getattr(imported(Path(path)), spec)
    done = [time.perf_counter()]
    for _ in range(2):
        function(**drawn)
        done.append(time.perf_counter())
    print(json.dumps({"import": done[0] - began, "first": done[1] - done[0], "second": done[2] - done[1]}))


def imported(path: Path) -> Any:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[path.stem] = module
    found.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])
