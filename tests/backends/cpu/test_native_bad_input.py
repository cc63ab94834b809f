"""What native code cannot read as it is given: a clear error, or the same numbers as from a plain copy."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc

MEMORY = """
recurrence memory:
    input  k[K], v[V], g in (0, 1)
    param  w[V]
    state  S[K, V]
    S = g * S + outer(k, v * w)
    output o[V] = k @ S
"""
PHASES = """
recurrence phases:
    input  x[D]: complex
    state  h[D]: complex
    h = 0.5 * h + x
    output h
"""
B, T, K, V = 2, 6, 3, 5


def memory() -> Any:
    return recc.load(MEMORY, backend="cpu")


def arguments() -> list[Tensor]:
    """k, v, g, w."""
    generator = torch.Generator().manual_seed(0)
    shapes = (B, T, K), (B, T, V), (B, T)
    drawn = [torch.rand(shape, generator=generator) for shape in shapes]
    return [*drawn, torch.rand(V, generator=generator)]


def changed(place: int, change: Callable[[Tensor], Any]) -> list[Any]:
    given: list[Any] = arguments()
    given[place] = change(given[place])
    return given


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (changed(0, Tensor.int), TypeError, "k: expected a tensor of one of the dtypes .* got torch.int32"),
        (changed(0, lambda t: t.to(torch.complex64)), TypeError, "k: expected a real tensor, got torch.complex64"),
        (changed(3, Tensor.bool), TypeError, "w: expected a tensor of one of the dtypes .* got torch.bool"),
        (changed(1, lambda t: t.to("meta")), ValueError, "v: expected a tensor on cpu, where k is, got one on meta"),
        (changed(1, Tensor.tolist), TypeError, "v: expected a tensor, got list"),
        (changed(1, lambda t: t[:, :-1]), ValueError, "v: expected T = 6 as in k, got T = 5"),
        (changed(1, lambda t: t[:1].expand(B + 1, T, V)), ValueError, "v: expected B = 2 as in k, got B = 3"),
        (changed(3, lambda t: t[:-1]), ValueError, "w: expected V = 5 as in v, got V = 4"),
        (changed(2, lambda t: t[0, 0]), ValueError, r"g: expected \(B, T, \*lanes\), got \(\)"),
    ],
)
def test_what_cannot_be_read_is_refused(given: list[Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        memory()(*given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "kind", "message"),
    [
        (torch.zeros(B, K, V + 1), ValueError, r"= \(2, 3, 5\), got \(2, 3, 6\)"),
        (torch.zeros(B + 1, K, V), ValueError, r"= \(2, 3, 5\), got \(3, 3, 5\)"),
        (torch.zeros(B, K, V).int(), TypeError, "expected a tensor of one of the dtypes .* got torch.int32"),
        ("zero", TypeError, "expected a tensor, got str"),
    ],
)
def test_states_that_do_not_fit_are_refused(state: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"initial_state: S: .*{message}"):
        memory()(*arguments(), initial_state=state)


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "every second": lambda t: torch.stack((t, torch.full_like(t, torch.nan)), -1).flatten(-2)[..., ::2],
    "inside of a larger one": lambda t: torch.nn.functional.pad(t, (2, 3), value=torch.nan)[..., 2:-3],
    "broadcast over time": lambda t: t[:, :1].expand_as(t) if t.dim() > 1 else t,
    "one number": lambda t: t.flatten()[0].expand_as(t),
    "negated": lambda t: torch.complex(torch.zeros_like(t), -t).conj().imag,
}


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("view", VIEWS)
def test_any_strides_give_the_numbers_of_a_plain_copy(view: str, place: int) -> None:
    strided = changed(place, VIEWS[view])
    assert torch.isfinite(strided[place]).all()
    plain = [t.clone(memory_format=torch.contiguous_format).resolve_neg() for t in strided]
    results = []
    for given in (strided, plain):
        leaves = [t.detach().requires_grad_() for t in given]
        output, state = memory()(*leaves, output_final_state=True)
        results.append([output, state, *torch.autograd.grad(output.sum() + state.sum(), leaves)])
    assert_close(results[0], results[1], rtol=0, atol=0)
    assert_close(results[0][0], memory()(*plain, backend="torch")[0])


def test_a_conjugated_view() -> None:
    f = recc.load(PHASES, backend="cpu")
    x = torch.randn(B, T, V, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    assert x.conj().is_conj()
    assert_close(f(x.conj())[0], f(x)[0].conj().resolve_conj(), rtol=0, atol=0)


@pytest.mark.parametrize(("batch", "steps", "lanes"), [(0, T, ()), (B, 0, ()), (B, T, (0,)), (0, 0, (3, 0))])
def test_no_rows_and_no_steps(batch: int, steps: int, lanes: tuple[int, ...]) -> None:
    shapes = ((K,), (V,), ())
    given = [torch.rand(batch, steps, *lanes, *shape).requires_grad_() for shape in shapes]
    w = torch.rand(V).requires_grad_()
    start = torch.rand(batch, *lanes, K, V)
    output, state = memory()(*given, w, initial_state=start, output_final_state=True)
    assert output.shape == (batch, steps, *lanes, V) and state.shape == start.shape
    if steps == 0:
        assert torch.equal(state, start)
    gradients = torch.autograd.grad(output.sum() + state.sum(), [*given, w], allow_unused=True, materialize_grads=True)
    assert all(g.shape == t.shape and not g.any() for g, t in zip(gradients, [*given, w], strict=True))


def test_an_empty_axis_is_left_to_torch() -> None:
    given = [torch.rand(B, T, K), torch.rand(B, T, 0), torch.rand(B, T), torch.rand(0)]
    assert memory()(*given, backend="auto")[0].shape == (B, T, 0)
    with pytest.raises(ValueError, match="backend: memory cannot run on 'cpu': an axis is empty"):
        memory()(*given)


SCRIPT = """
import errno, os, sys, tempfile, warnings
import torch, recc
real, folder = tempfile.mkstemp, os.environ["RECC_CACHE_DIR"]
function = recc.load(sys.argv[2], backend="cpu")
def broken(*args, dir=None, **options):
    if str(dir).startswith(os.path.join(folder, "native")):
        raise OSError(int(sys.argv[1]), os.strerror(int(sys.argv[1])))
    return real(*args, dir=dir, **options)
tempfile.mkstemp = broken
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    x = torch.ones(1, 3, 4)
    assert torch.equal(function(x)[0], 2 * x) and torch.equal(function(x.double())[0], 2 * x.double())
assert not any(name.endswith(".so") for _, _, names in os.walk(folder) for name in names)
print("; ".join(str(item.message) for item in caught if item.category is RuntimeWarning))
"""
TWICE = "recurrence twice:\n    input  x[D]\n    state  h[D]\n    h = 2 * x\n    output h\n"


@pytest.mark.parametrize("reason", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_cache_that_takes_nothing_costs_a_warning(reason: int, tmp_path: Path) -> None:
    """Read-only, full or forbidden: the libraries of this process lie elsewhere, and go with it."""
    cache, elsewhere = tmp_path / "cache", tmp_path / "temporary"
    elsewhere.mkdir()
    own = {"RECC_CACHE_DIR": str(cache), "TMPDIR": str(elsewhere), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **own}
    command = [sys.executable, "-c", SCRIPT, str(reason), TWICE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("native code is kept for this process only") == 1
    assert os.strerror(reason) in done.stdout and str(cache) in done.stdout
    assert not list(elsewhere.glob("recc_*"))


def test_a_library_that_was_cut_is_built_again_by_the_next_process(tmp_path: Path) -> None:
    environment = {**os.environ, "RECC_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    script = "import sys, torch, recc; x = torch.ones(1, 3, 4); assert torch.equal(recc.load(sys.argv[1], backend='cpu')(x)[0], 2 * x)"  # noqa: E501

    def run() -> None:
        done = subprocess.run([sys.executable, "-c", script, TWICE], env=environment, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()

    run()
    (library,) = tmp_path.glob("native/*/*.so")
    whole = library.read_bytes()
    library.write_bytes(whole[: len(whole) // 2])
    run()
    assert library.read_bytes() == whole


def test_bounds_may_be_overwritten_before_the_backward_pass() -> None:
    """A buffer of the data loader's, filled for the next batch."""
    f = recc.load("recurrence r:\n    input  x[D], a[D]\n    state  h[D]\n    h = a * h + x\n    output h\n")
    given = [torch.rand(1, 100, 3, dtype=torch.float64).requires_grad_() for _ in range(2)]
    found = []
    for later in ([0, 30, 60, 100], [0, 10, 20, 10**9]):
        bounds = torch.tensor([0, 30, 60, 100])
        out, _ = f(*given, cu_seqlens=bounds, backend="cpu")
        bounds.copy_(torch.tensor(later))
        found.append(torch.autograd.grad(out.square().sum(), given))
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_the_default_device_does_not_matter() -> None:
    f = recc.load("recurrence r:\n    input  x[D]\n    state  h[D]\n    h = tanh(h + x)\n    output h\n")
    x = torch.rand(1, 5, 3).requires_grad_()
    want, _ = f(x, backend="cpu")
    with torch.device("meta"):
        got, _ = f(x, backend="cpu")
        (gradient,) = torch.autograd.grad(got, x, torch.ones(1, 5, 3, device="cpu"))
    assert torch.equal(got, want)
    assert gradient.device.type == "cpu"
