"""Recurrences of scalars in native code: rows are walked side by side, one in each lane of a vector."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor

import recc

FILTER = """
recurrence saturating:
    input  x, u
    param  a in (0, 1), b
    state  h, s = b
    y = a * h + tanh(b * x) * prev(x)
    h = where(y > u, y - u, y)
    s = s + sqrt(1 + h**2) * u
    output y, total = s * h
"""
ROTATION = """
recurrence rotation:
    input  u: complex, g
    param  z: complex
    state  h: complex
    h = z * h + g * u
    output y: complex = h * conj(u)
    output size = abs(h)
"""
TRACKER = """
recurrence tracker:
    input  x[2], gain
    param  F[2, 2]
    state  p[2], table[3, 2], n
    p = tanh(F @ p) + gain * x
    table[j] = 0.5 * table[j] + (j + 1) * p
    n = n + 1
    output p, mixed = sum(table) / n
"""
SPECS = {"filter": FILTER, "rotation": ROTATION, "tracker": TRACKER}
INPUTS = {"filter": {"x": (), "u": ()}, "rotation": {"u": (), "g": ()}, "tracker": {"x": (2,), "gain": ()}}
PARAMS = {"filter": {"a": (), "b": ()}, "rotation": {"z": ()}, "tracker": {"F": (2, 2)}}
COMPLEX = {("rotation", "u"), ("rotation", "z")}


def drawn(name: str, key: str, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    kind = torch.complex128 if (name, key) in COMPLEX else torch.float64
    value = 0.5 * torch.randn(shape, generator=rng, dtype=kind)
    if key == "z":
        return value / (1 + value.abs())
    return value.real.sigmoid() if key == "a" else 0.7 * value


def draw(name: str, rows: int, steps: int, lanes: tuple[int, ...], params: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """Arguments whose inputs have all lanes, and whose params have the leading dimensions `params`."""
    rng = torch.Generator().manual_seed(0)
    given = {key: drawn(name, key, (rows, steps, *lanes, *own), rng) for key, own in INPUTS[name].items()}
    given |= {key: drawn(name, key, (*params, *own), rng) for key, own in PARAMS[name].items()}
    return {key: value.requires_grad_() for key, value in given.items()}


def values(name: str, backend: str, given: dict[str, Tensor], **options: object) -> list[Tensor]:
    """Outputs and final states."""
    made = recc.load(SPECS[name])(**given, backend=backend, output_final_state=True, **options)
    return [value for part in made for value in (part if isinstance(part, tuple) else (part,))]


def results(name: str, backend: str, given: dict[str, Tensor], **options: object) -> list[Tensor]:
    """Outputs, final states, and gradients of something that depends on all of them."""
    made = values(name, backend, given, **options)
    rng = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(value.shape, generator=rng, dtype=torch.float64).to(value.dtype) for value in made]
    return [*made, *torch.autograd.grad(made, list(given.values()), cotangents)]


def agree(name: str, given: dict[str, Tensor], tolerance: float = 1e-10, **options: object) -> list[Tensor]:
    got = results(name, "cpu", given, **options)
    for one, other in zip(got, results(name, "torch", given, **options), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    return got


@pytest.mark.parametrize("lanes", [1, 2, 3, 15, 16, 17, 33, 100])
@pytest.mark.parametrize("name", SPECS)
def test_lanes(name: str, lanes: int) -> None:
    agree(name, draw(name, 1, 70, (lanes,)))


@pytest.mark.parametrize(
    "rows, lanes", [(1, ()), (5, ()), (70, ()), (5, (2, 3)), (3, (7, 1, 5)), (2, (64,)), (33, (3,))]
)
@pytest.mark.parametrize("name", SPECS)
def test_rows_and_several_dimensions_of_lanes(name: str, rows: int, lanes: tuple[int, ...]) -> None:
    agree(name, draw(name, rows, 70, lanes))
    agree(name, draw(name, rows, 9, lanes, params=lanes))
    agree(name, draw(name, rows, 9, lanes, params=(rows, *lanes)))
    if len(lanes) > 1:
        agree(name, draw(name, rows, 9, lanes, params=(lanes[0], *(1 for _ in lanes[1:]))))


@pytest.mark.parametrize("name", SPECS)
def test_inputs_that_are_the_same_for_some_lanes(name: str) -> None:
    for lanes in ((4, 1), (1, 5), (1, 1), (5,)):
        given = draw(name, 3, 20, (4, 5))
        key = next(iter(INPUTS[name]))
        given[key] = draw(name, 3, 20, lanes)[key]
        agree(name, given)
    spread = draw(name, 3, 20, (4, 5))
    first = spread[key].detach()[:, :, :1].expand_as(spread[key])
    agree(name, {**spread, key: first.requires_grad_()})


@pytest.mark.parametrize("name", SPECS)
def test_inputs_that_lie_in_any_order(name: str) -> None:
    given = draw(name, 18, 40, (3,))
    first = results(name, "cpu", given)
    for order in ((2, 1, 0), (1, 0, 2), (0, 2, 1)):
        moved = dict(given)
        for key in INPUTS[name]:
            rest = range(3, given[key].dim())
            turned = given[key].detach().permute(*order, *rest).contiguous()
            moved[key] = turned.permute(*(order.index(i) for i in range(3)), *rest).requires_grad_()
            assert not moved[key].is_contiguous()
        assert all(map(torch.equal, results(name, "cpu", moved), first))
    spread = {
        **given,
        **{key: torch.stack((given[key].detach(),) * 2, 1)[:, 1].requires_grad_() for key in INPUTS[name]},
    }
    assert all(map(torch.equal, results(name, "cpu", spread), first))


BOUNDS = torch.tensor([0, 0, 33, 34, 34, 70, 70])


@pytest.mark.parametrize("lanes", [(), (2, 3), (100,)])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_packed(name: str, reverse: bool, lanes: tuple[int, ...]) -> None:
    given = draw(name, 1, 70, lanes)
    agree(name, given, cu_seqlens=BOUNDS, reverse=reverse)
    if name == "filter":  # params of each sequence
        agree(name, draw(name, 1, 70, lanes, params=(6, *lanes)), cu_seqlens=BOUNDS, reverse=reverse)


@pytest.mark.parametrize("steps", [0, 1, 15, 17, 129])
@pytest.mark.parametrize("name", SPECS)
def test_steps_forwards_and_back(name: str, steps: int) -> None:
    for rows, lanes in ((1, (3,)), (20, ()), (2, (20,))):
        agree(name, draw(name, rows, steps, lanes))
        agree(name, draw(name, rows, steps, lanes), reverse=True)


@pytest.mark.parametrize("name", SPECS)
def test_no_lanes_and_no_rows(name: str) -> None:
    for rows, lanes in ((2, (0,)), (0, (3,)), (0, ()), (2, (3, 0))):
        agree(name, draw(name, rows, 5, lanes))


@pytest.mark.parametrize("name", SPECS)
def test_initial_states(name: str) -> None:
    given = {key: value.detach() for key, value in draw(name, 3, 40, (9,)).items()}
    module = recc.load(SPECS[name])
    timed = list(INPUTS[name])
    parts = [{**given, **{key: given[key][:, span] for key in timed}} for span in (slice(0, 23), slice(23, None))]
    _, last = module(**given, backend="cpu", output_final_state=True)
    _, state = module(**parts[0], backend="cpu", output_final_state=True)
    _, state = module(**parts[1], backend="cpu", output_final_state=True, initial_state=state)
    tokens = None
    for t in range(40):
        _, tokens = module.step(tokens, **{**given, **{key: given[key][:, t] for key in timed}})
    listed = [value if isinstance(value, tuple) else (value,) for value in (last, state, tokens)]
    for whole, joined, stepped in zip(*listed, strict=True):
        assert torch.equal(whole, joined)
        torch.testing.assert_close(whole, stepped, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_types(dtype: torch.dtype) -> None:
    for rows, lanes in ((1, (3,)), (20, ()), (2, (33,))):
        given = {key: value.detach().to(dtype) for key, value in draw("filter", rows, 30, lanes).items()}
        given |= {key: given[key].float() for key in PARAMS["filter"]}
        for value in given.values():
            value.requires_grad_()
        got, want = (results("filter", backend, given) for backend in ("cpu", "torch"))
        assert [value.dtype for value in got] == [value.dtype for value in want]
        tolerance = 1e-4 if dtype == torch.float32 else 0.05
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows, lanes", [(1, (300,)), (40, (7,)), (300, ())])
@pytest.mark.parametrize("name", SPECS)
def test_results_do_not_depend_on_threads(name: str, rows: int, lanes: tuple[int, ...]) -> None:
    given = draw(name, rows, 500, lanes)
    found = []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        found.append(results(name, "cpu", given))
    assert all(torch.equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", SPECS)
def test_a_lane_does_not_depend_on_its_neighbours(name: str, dtype: torch.dtype) -> None:
    """Bit by bit, gradients as well, whatever the number of lanes that are walked side by side."""
    drawn_values = draw(name, 1, 50, (100,), params=(100,)).items()
    given = {key: value.detach().to(dtype.to_complex() if value.is_complex() else dtype) for key, value in drawn_values}
    whole = differentiated(name, given)
    for first, count in ((0, 1), (99, 1), (3, 2), (60, 4), (41, 16), (30, 50)):
        part = {key: value.narrow(2 * (key in INPUTS[name]), first, count) for key, value in given.items()}
        for one, (other, place) in zip(differentiated(name, part), whole, strict=True):
            assert torch.equal(one[0], other.narrow(place, first, count))


def differentiated(name: str, given: dict[str, Tensor]) -> list[tuple[Tensor, int]]:
    """Outputs, final states and gradients of their sum, each with the dimension that lanes are."""
    leaves = {key: value.clone().requires_grad_() for key, value in given.items()}
    made = values(name, "cpu", leaves)
    found = torch.autograd.grad(made, list(leaves.values()), [torch.ones_like(value) for value in made])
    states = len(recc.check(SPECS[name]).recurrences[0].states)
    places = [2] * (len(made) - states) + [1] * states + [2 * (key in INPUTS[name]) for key in given]
    return list(zip([*made, *found], places, strict=True))


def test_few_libraries_are_built() -> None:
    """Modules carry the runtime's text along, so that what they choose is asked of the function itself."""
    choose = recc.load(FILTER).__globals__["group_lanes"]
    widths = {choose(rows, lanes, packed) for rows, lanes, packed in product(range(70), range(70), (False, True))}
    assert len(widths) == 3 and choose(1, 1, False) == 4 and choose(500, 1, True) == 4 and choose(3, 500, True) == 64


@pytest.mark.parametrize(
    "text",
    [
        "recurrence r:\n    input x\n    state h\n    h = sin(h) + x\n    output h\n",
        "recurrence r:\n    input x[D]\n    state h[D]\n    h = 0.5 * h + x\n    output h\n",
        "recurrence r:\n    input x, W[2, 2]\n    state h[2]\n    h = solve(W, h) + x\n    output h\n",
        "recurrence r:\n    input x\n    state h\n"
        "    for y in fixpoint(h, max=9):\n        y = 0.5 * tanh(y) + x\n    h = y\n    output h\n",
        "recurrence r:\n    input x\n    state h\n    h = h + hold(x, every=4)\n    output h\n",
    ],
)
def test_what_is_walked_row_by_row(text: str) -> None:
    """Where a row has vectors of its own, ends its rounds by itself, or calls functions that take one number."""
    assert "group=group_lanes" not in recc.compile(text)


def test_functions_of_params_alone_are_no_obstacle() -> None:
    text = "recurrence r:\n    input x\n    param w\n    state h\n    h = sin(w) * h + x\n    output h\n"
    assert "group=group_lanes" in recc.compile(text)


def test_under_compile_and_with_second_derivatives() -> None:
    given = draw("filter", 2, 30, (5,))
    module = recc.load(FILTER)

    def loss(x: Tensor) -> Tensor:
        return module(**{**given, "x": x}, backend="cpu")[0].total.square().mean()

    x = given["x"].detach().requires_grad_()
    (plain,) = torch.autograd.grad(loss(x), x, create_graph=True)
    (second,) = torch.autograd.grad(plain.square().sum(), x)
    (compiled,) = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(x), x)
    torch.testing.assert_close(compiled, plain)
    assert second.isfinite().all() and second.abs().sum() > 0
