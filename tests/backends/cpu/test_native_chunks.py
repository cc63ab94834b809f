"""The time of few sequences shared out: chunks summed up and walked side by side give what one walk gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import recc
from recc.compiler import front
from recc.passes.adjoint import adjoint
from recc.passes.analyse import analyse
from recc.passes.guard import guard
from recc.passes.lower_kernel_lanes import walks_lanes
from recc.passes.lower_passes import block_ranks
from recc.passes.lower_scan import is_scannable
from recc.runtime.native_chunks import chunks_of
from recc.verify import LENGTHS, _prepare
from tests.references import CORE

SPECS = Path(__file__).parents[3] / "specs"
SHORT = tuple(steps for steps in LENGTHS if steps <= 65)
T = 150


def shares(path: Path) -> bool:
    """Whether time can be shared out: there is a scan, and rows are not walked side by side."""
    recurrence = front(path).recurrences[0]
    if not is_scannable(analyse(recurrence)) or block_ranks(recurrence) is not None:
        return False
    return not walks_lanes(guard(recurrence), guard(adjoint(recurrence)))


def every_spec() -> list[Any]:
    found = [path for path in sorted(SPECS.glob("*.rec")) if shares(path)]
    return [pytest.param(path, id=path.stem, marks=() if path.stem in CORE else pytest.mark.slow) for path in found]


def share_out(function: Callable[..., Any], patch: pytest.MonkeyPatch, count: int = 8) -> list[Any]:
    """Has a function share its calls' time out, in chunks of as few as four steps; the chunks that it took, forwards
    and back. Modules carry the runtime's text along, so that this is told to the function itself."""
    module = function.__globals__
    for name, value in {"processors": lambda: 1000, "time_chunks": lambda *_: count, "TILE_STEPS": (4, 4)}.items():
        patch.setitem(module, name, value)
    taken: list[Any] = []
    native = module["SPEC"].native

    def noted(plan: Any) -> Any:
        found = native.sharing.split(plan)
        taken.extend(found)
        return found

    patch.setitem(module["SPEC"].__dict__, "native", native._replace(sharing=native.sharing._replace(split=noted)))
    return taken


@pytest.mark.parametrize("path", every_spec())
def test_against_the_interpreter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients of every spec that has a scan, packed, in reverse, with initial states and without."""
    subject = _prepare(front(path).recurrences[0], path, None, SHORT)
    ((caller, cases),) = subject.parts
    taken = share_out(caller._function, monkeypatch)
    errors = [caller.errors(case, "auto", torch.float64, "cpu") for case in cases]
    assert any(taken[::2]) and any(taken[1::2])
    assert max(error.value for error in errors) < 1e-11 and max(error.gradient for error in errors) < 1e-11


def results(function: Callable[..., Any], tensors: list[torch.Tensor], backend: str, **options: Any) -> list[Any]:
    """Outputs, final states, and gradients of something that depends on all of them."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out, finals = function(*leaves, backend=backend, output_final_state=True, **options)
    finals = finals if isinstance(finals, tuple) else (finals,)
    weighed = [value * torch.linspace(-1, 1, value.numel()).view(value.shape) for value in (out, *finals)]
    return [out, *finals, *torch.autograd.grad([value.sum() for value in weighed], leaves)]


LEAKY = """recurrence leaky:
    input  x[D], a in (0, 1)
    param  w[D], b
    state  h[D]
    h = a * h + sigmoid(w) * x + b
    output y[D] = h * w
"""


def leaky_arguments(rows: int, own: bool) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    b = draw(rows, 3) if own else draw(1)[0]
    return [draw(T, rows, 3, 5).transpose(0, 1), draw(1, T, 1).sigmoid().expand(rows, T, 1), draw(5), b]


@pytest.mark.parametrize("options", [{}, {"reverse": True}])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("rows", [1, 3])
def test_strided_and_shared_arguments(
    rows: int, own: bool, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs that do not lie row after row, one input and params that all rows share, params that each row has."""
    function = recc.load(LEAKY)
    arguments = leaky_arguments(rows, own)
    want = results(function, arguments, "torch", **options)
    taken = share_out(function, monkeypatch)
    for got, expected in zip(results(function, arguments, "cpu", **options), want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    assert any(taken)


@pytest.mark.parametrize("lengths", [(0, 150), (150, 0), (9, 0, 0, 101, 40), (150,)])
@pytest.mark.parametrize("reverse", [False, True])
def test_packed_sequences(lengths: tuple[int, ...], reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    function = recc.load(SPECS / "mlstm.rec")
    rng = torch.Generator().manual_seed(1)
    shapes = ((5,), (5,), (3,), (), ())
    arguments = [torch.randn(1, T, 2, *shape, generator=rng, dtype=torch.float64) for shape in shapes]
    options = {"cu_seqlens": torch.tensor([0, *lengths]).cumsum(0), "reverse": reverse}
    want = results(function, arguments, "torch", **options)
    taken = share_out(function, monkeypatch)
    for got, expected in zip(results(function, arguments, "cpu", **options), want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)
    assert any(taken)


def delta_arguments(steps: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(1, steps, 64, generator=rng, dtype=torch.float64) for _ in range(3))
    g, beta = (torch.randn(1, steps, generator=rng, dtype=torch.float64) for _ in range(2))
    made = [q, torch.nn.functional.normalize(k, dim=-1), v, -0.01 * g.abs(), 0.1 * beta.sigmoid()]
    return [t.to(dtype) for t in made]


def test_pieces_of_a_state_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is cut along an axis, each piece of which is walked in chunks."""
    function = recc.load(SPECS / "gated_deltanet.rec")
    want = results(function, delta_arguments(1000), "torch")
    taken = share_out(function, monkeypatch)
    for got, expected in zip(results(function, delta_arguments(1000), "cpu"), want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)
    assert [chunks.firsts for chunks in taken] == [(0, 8), (0, 8)]


def test_results_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    function, before, found = recc.load(SPECS / "gated_deltanet.rec"), torch.get_num_threads(), []
    share_out(function, monkeypatch)
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(results(function, delta_arguments(1000, torch.float32), "cpu"))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))


def test_steps_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the method `sequential` gets it: no chunks, and the rounding of steps."""
    function = recc.load(SPECS / "gated_deltanet.rec")
    want = function(*delta_arguments(300, torch.float32), method="sequential", backend="cpu")[0]
    taken = share_out(function, monkeypatch)
    got = function(*delta_arguments(300, torch.float32), method="sequential", backend="cpu")[0]
    assert not taken and torch.equal(got, want)


def test_a_summary_beyond_all_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a chunk's transition overflows and its states do not, steps are walked one after the other."""
    function = recc.load("recurrence growing:\n    input  x[D], a\n    state  h[D]\n    h = a * h + x\n    output h\n")
    x, a = torch.zeros(1, 4000, 1), torch.full((1, 4000), 1.5)
    x[0, -3] = 1
    want = function(x, a, method="sequential", backend="torch")[0]
    taken = share_out(function, monkeypatch)
    torch.testing.assert_close(function(x, a, backend="cpu")[0], want, rtol=1e-6, atol=0)
    assert all(taken) and want[0, -1] == 2.25


def test_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    function = recc.load(SPECS / "gated_deltanet.rec")
    arguments = delta_arguments(300, torch.bfloat16)
    want = function(*arguments, backend="cpu")[0]
    taken = share_out(function, monkeypatch)
    got = function(*arguments, backend="cpu")[0]
    assert any(taken) and got.dtype == torch.bfloat16
    torch.testing.assert_close(got, want)


def test_under_torch_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has a fixed layout for the states at the entry of tiles, whatever the chunks."""
    function = recc.load(LEAKY)
    arguments = leaky_arguments(2, own=False)
    want = results(function, arguments, "torch")
    taken = share_out(function, monkeypatch)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for got, expected in zip(results(compiled, arguments, "cpu"), want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    assert any(taken)


@pytest.mark.parametrize("place", [0, 1])
def test_summaries_matter(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparisons above would fail if a chunk began with another state."""
    function = recc.load(SPECS / "gated_deltanet.rec")
    want = results(function, delta_arguments(300), "torch")
    share_out(function, monkeypatch)
    spec = function.__globals__["SPEC"]
    program = (spec.primal, spec.adjoint)[place]
    (level,) = program.levels
    lost = program._replace(levels=(level._replace(advance=lambda A, b, s: b),))
    monkeypatch.setitem(spec.__dict__, ("primal", "adjoint")[place], lost)
    got = results(function, delta_arguments(300), "cpu")
    assert any((x - y).abs().max() > 1e-3 for x, y in zip(got, want, strict=True))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.integers(2, 20), st.integers(1, 64))
def test_chunks_tile_their_sequences(lengths: list[int], count: int, tile: int) -> None:
    chunks = chunks_of(lengths, count, tile)
    if chunks is None:
        assert max(lengths) <= max(tile, -(-sum(lengths) // (len(lengths) * count)) + tile)
        return
    bounds = chunks.bounds.tolist()
    assert bounds == sorted(bounds) and chunks.firsts[-1] == len(bounds) - 1
    assert [bounds[first] for first in chunks.firsts] == [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    for first, end in zip(chunks.firsts, chunks.firsts[1:], strict=False):
        assert end > first  # an empty sequence has a chunk as well: it hands its initial state on
        assert all((bounds[i + 1] - bounds[i]) % tile == 0 for i in range(first, end - 1))


def test_few_rows_on_a_large_machine() -> None:
    """What is chosen follows from rows, steps and processors."""
    estimate = recc.load(SPECS / "gla.rec").__globals__["estimate"]
    sizes = {"K": 64, "V": 64}

    def chunks(steps: int, rows: int, processors: int) -> tuple[int, ...]:
        return estimate(sizes, steps, rows, 1, True, processors).chunks

    assert chunks(16384, 1, 8) == (8, 8) and chunks(16384, 2, 8) == (4, 4)
    assert chunks(16384, 8, 8) == chunks(16384, 1, 1) == chunks(64, 1, 8) == (1, 1)
