"""Every mistake in a call is one error that names the argument, what was expected and what was got."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from runtime_recurrences import SPECS, CascadeState, arguments
from torch import Tensor
from torch.testing import assert_close

from recc.runtime.call import call, step_call
from recc.runtime.program import Port

REAL = "expected a tensor of one of the dtypes float64, float32, bfloat16, float16"
STATE = "initial_state: S: expected (B, *lanes, K, V) = (2, 2, 3, 2)"
PARAM = "u: expected (*lanes, D), with at most 1 lane and the batch in front"
BATCH = "u: expected 1 or B = 2 in front of its 1 lane"
OTHERS = [torch.zeros(3, 3), torch.zeros(3)]


def delta(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The arguments of a correct call of the delta rule, (2, 5) steps, one lane of 2, K = 3, V = 2; then changed."""
    q, k, v, g, beta = arguments("delta", 2, 5)[0]
    given = {"q": q, "k": k, "v": v, "g": g, "beta": beta, "initial_state": None}
    change(given)
    return given


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("q", [1.0], TypeError, "q: expected a tensor, got list"),
        ("v", np.zeros((2, 5, 2, 2)), TypeError, "v: expected a tensor, got ndarray"),
        ("g", None, TypeError, "g: expected a tensor, got NoneType"),
        ("k", zeros(2, 5, 2, 3).int(), TypeError, f"k: {REAL}, got torch.int32"),
        ("k", zeros(2, 5, 2, 3).bool(), TypeError, f"k: {REAL}, got torch.bool"),
        ("k", zeros(2, 5, 2, 3).to(torch.complex64), TypeError, "k: expected a real tensor, got torch.complex64"),
        ("k", zeros(2, 5, 2, 3).to("meta"), ValueError, "k: expected a tensor on cpu, where q is, got one on meta"),
        ("q", zeros(2, 5), ValueError, "q: expected (B, T, *lanes, K), got (2, 5)"),
        ("g", zeros(2), ValueError, "g: expected (B, T, *lanes), got (2,)"),
        ("k", zeros(3, 5, 2, 3), ValueError, "k: expected B = 2 as in q, got B = 3, of shape (3, 5, 2, 3)"),
        ("k", zeros(1, 5, 2, 3), ValueError, "k: expected B = 2 as in q, got B = 1, of shape (1, 5, 2, 3)"),
        ("v", zeros(2, 4, 2, 2), ValueError, "v: expected T = 5 as in q, got T = 4, of shape (2, 4, 2, 2)"),
        ("k", zeros(2, 5, 2, 4), ValueError, "k: expected K = 3 as in q, got K = 4, of shape (2, 5, 2, 4)"),
        ("k", zeros(2, 5, 3, 3), ValueError, "k: its lanes (3,) do not broadcast with the lanes (2,) of q"),
        ("g", zeros(2, 5, 4, 3), ValueError, "g: its lanes (4, 3) do not broadcast with the lanes (2,) of q"),
        ("initial_state", 0.0, TypeError, "initial_state: S: expected a tensor, got float"),
        ("initial_state", zeros(2, 2, 3, 3), ValueError, f"{STATE}, got (2, 2, 3, 3)"),
        ("initial_state", zeros(1, 2, 3, 2), ValueError, f"{STATE}, got (1, 2, 3, 2)"),
        ("initial_state", zeros(2, 3, 3, 2), ValueError, f"{STATE}, got (2, 3, 3, 2)"),
        ("initial_state", (zeros(2, 2, 3, 2),) * 2, ValueError, "initial_state: expected 1 (S), got 2"),
        ("initial_state", {"T": zeros(2, 2, 3, 2)}, ValueError, "initial_state: S is missing (the states are S)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_argument(name: str, value: Any, error: type[Exception], message: str) -> None:
    given = delta(lambda arguments: arguments.update({name: value}))
    state = given.pop("initial_state")
    with pytest.raises(error) as raised:
        call(SPECS["delta"], list(given.values()), [], state)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([zeros(3), zeros(3, 4), zeros(3)], ValueError, "U: expected D = 3 as in x, got D = 4, of shape (3, 4)"),
        ([zeros(), *OTHERS], ValueError, f"{PARAM}, got ()"),
        ([zeros(4, 2, 2, 3), *OTHERS], ValueError, f"{PARAM}, got (4, 2, 2, 3)"),
        (
            [zeros(4, 2, 3), *OTHERS],
            ValueError,
            f"{BATCH}, got 4, of shape (4, 2, 3)",
        ),
        ([zeros(5, 3), *OTHERS], ValueError, "u: its lanes (5,) do not broadcast with the lanes (2,) of x"),
        ([zeros(3), zeros(3, 3), zeros(3).long()], TypeError, f"h0: {REAL}, got torch.int64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_param(params: list[Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        call(SPECS["rnn"], [zeros(2, 5, 2, 3)], params)
    assert str(raised.value) == message


def test_sizes_that_were_compiled_in() -> None:
    spec = SPECS["linear"]
    a, x = spec.signature.inputs
    named = spec.signature._replace(inputs=(Port("a", ("D", "n")), x), sizes={"n": 2})
    with pytest.raises(ValueError) as raised:
        call(replace(spec, signature=named), [zeros(1, 1, 3, 4), zeros(1, 1, 3)], [])
    assert str(raised.value) == "a: expected n = 2 as the module was compiled with, got n = 4, of shape (1, 1, 3, 4)"
    number = spec.signature._replace(inputs=(Port("a", ("D", 2)), x))
    with pytest.raises(ValueError) as raised:
        call(replace(spec, signature=number), [zeros(1, 1, 3, 4), zeros(1, 1, 3)], [])
    assert str(raised.value) == "a: expected 2 along its axis 2, got 4, of shape (1, 1, 3, 4)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("n"), "initial_state: n is missing (the states are C, n, m)"),
        (lambda s: s.update(N=s["n"]), "initial_state: there is no state N (the states are C, n, m)"),
    ],
)
def test_states_by_name(change: Callable[[dict[str, Tensor]], None], message: str) -> None:
    x, _, s = arguments("cascade", 2, 5)
    states: dict[str, Tensor] = dict(zip(("C", "n", "m"), s, strict=True))
    backwards = dict(reversed(states.items()))
    for given in (states, backwards, list(s), CascadeState(*s)):
        assert_close(call(SPECS["cascade"], x, [], given), call(SPECS["cascade"], x, [], tuple(s)))
    change(states)
    with pytest.raises(ValueError) as raised:
        call(SPECS["cascade"], x, [], states)
    assert str(raised.value) == message


def test_states_in_order() -> None:
    x, _, s = arguments("cascade", 2, 5)
    with pytest.raises(ValueError, match=r"^initial_state: m is missing \(the states are C, n, m\)$"):
        call(SPECS["cascade"], x, [], s[:2])
    with pytest.raises(TypeError, match=r"^initial_state: expected a tuple or dict of C, n, m, got Tensor$"):
        call(SPECS["cascade"], x, [], s[0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linear", {"method": "x"}, "method: expected one of auto, sequential, scan, convolution, got 'x'"),
        ("linear", {"backend": "cuda"}, "backend: expected one of auto, torch, cpu, got 'cuda'"),
        ("rnn", {"method": "scan"}, "method: rnn has no scan: `h` is not affine in its previous value"),
    ],
)
def test_a_bad_choice(name: str, options: dict[str, str], message: str) -> None:
    x, w, _ = arguments(name, 2, 5)
    with pytest.raises(ValueError) as raised:
        call(SPECS[name], x, w, **options)  # pyright: ignore[reportArgumentType]
    assert str(raised.value) == message


def test_a_step_has_no_time() -> None:
    x, _, _ = arguments("delta", 2, 5)
    with pytest.raises(ValueError) as raised:
        step_call(SPECS["delta"], None, [zeros(2), *(t[:, 0] for t in x[1:])], [])
    assert str(raised.value) == "q: expected (B, *lanes, K), got (2,)"


def test_what_is_returned() -> None:
    x, _, _ = arguments("cascade", 2, 5)
    outputs, final = call(SPECS["cascade"], x, [], output_final_state=True)
    assert (outputs._fields, final._fields) == (("o", "level"), ("C", "n", "m"))
    assert call(SPECS["cascade"], x, [])[1] is None
    output, state = call(SPECS["linear"], arguments("linear", 2, 5)[0], [], output_final_state=True)
    assert isinstance(output, Tensor) and isinstance(state, Tensor)
