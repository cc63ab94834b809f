"""The package itself: what importing it costs, what it exports, and the fixtures that other tests stand on."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import recc
from recc.catalogue import shipped

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "numpy", "lark", "networkx", "triton", "sympy", "typer", "rich")
IMPORT = f"""
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import {{module}}
seconds = time.perf_counter() - start
print(seconds, *[name for name in {HEAVY} if name in set(sys.modules) - before])
"""


def import_cost(module: str) -> tuple[float, set[str]]:
    """Seconds, and what came along of the heavy libraries, in a process of its own."""
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    seconds, *heavy = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    return float(seconds), set(heavy)


def test_import_is_light() -> None:
    runs = [import_cost("recc") for _ in range(5)]
    assert min(seconds for seconds, _ in runs) < 0.1
    assert all(heavy == set() for _, heavy in runs)


@pytest.mark.parametrize("module", ["numpy", "lark", "typer"])
def test_the_import_test_can_fail(module: str) -> None:
    assert module in import_cost(module)[1]


@pytest.mark.parametrize("module", ["recc.api", "recc.cache", "recc.cli", "recc.diagnostics", "recc.frontend.python"])
def test_light_modules_stay_light(module: str) -> None:
    assert import_cost(module)[1] == set()


def test_every_export_is_there() -> None:
    for name in recc.__all__:
        assert getattr(recc, name) is not None
        assert name in dir(recc)


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'recc' has no attribute 'lod'"):
        getattr(recc, "lod")  # noqa: B009


def test_star_import_gives_the_exports() -> None:
    names: dict[str, object] = {}
    exec("from recc import *", names)
    assert set(recc.__all__) <= set(names)


def test_the_wheel_has_the_specs(tmp_path: Path) -> None:
    """Installed, every spec is found by its name, and `recc.specs` is a module beside them."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    asked = "import recc.specs, recc.catalogue; print(recc.__file__, recc.specs.path('mgu'), *recc.catalogue.shipped())"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    found = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert all(str(tmp_path) in path for path in found[:2])
    assert found[2:] == list(shipped())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex128])
def test_fresh_memory_is_nan(dtype: torch.dtype) -> None:
    x = torch.zeros(3, dtype=dtype)
    fresh = [
        torch.empty(3, dtype=dtype),
        torch.empty_like(x),
        torch.empty_strided((3,), (1,), dtype=dtype),
        x.new_empty(3),
        x.new_empty_strided((3,), (1,)),
        torch.empty_permuted((3,), (0,), dtype=dtype),
    ]
    for memory in fresh:
        assert memory.isnan().all()
