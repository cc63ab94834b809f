"""Recurrences lowered by hand: what an emitter would print."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recc.runtime.operator import register_operator
from recc.runtime.program import Level, Port, Program, Signature, Spec
from recc.runtime.tiles import Tensors


def once(primal: Program, inputs: int, states: int) -> Callable[..., Tensors]:
    """One step as a function of inputs, params and states: outputs, then new states."""

    def function(*tensors: Tensor) -> Tensors:
        x, w, s = tensors[:inputs], tensors[inputs : len(tensors) - states], tensors[len(tensors) - states :]
        c = primal.constants(w)
        p = primal.prepare(x, c)
        new, y = primal.step(s, p, c)
        outputs, _ = primal.finish(y, p, c)
        return (*outputs, *(n.expand_as(old) for n, old in zip(new, s, strict=True)))

    return function


def derived_adjoint(primal: Program, inputs: int, outputs: int, states: int) -> Program:
    """An adjoint without levels, from torch's own derivative of one step."""
    function = once(primal, inputs, states)

    def step(s: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
        x, before, d_out = p[:inputs], p[inputs : inputs + states], p[inputs + states :]
        pull = torch.func.vjp(function, *x, *c, *before)[1]
        cotangents = pull((*d_out, *s))
        return cotangents[len(cotangents) - states :], cotangents[: len(cotangents) - states]

    def finish(y: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
        return y[:inputs], tuple(t.sum(1) for t in y[inputs:])

    return Program(lambda w: w, lambda x, c: x, step, finish)


def derived_tangent(primal: Program, inputs: int, outputs: int, states: int) -> Program:
    """A tangent without levels: the derivative of a step's pullback, which is linear, is its pushforward."""
    function = once(primal, inputs, states)

    def step(s: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
        half = len(c) // 2
        primals = (*p[:inputs], *c[:half], *s[:states])
        tangents = (*p[inputs:], *c[half:], *s[states:])
        new, pull = torch.func.vjp(function, *primals)[:2]
        push = torch.func.vjp(pull, tuple(map(torch.zeros_like, new)))[1]
        (d_new,) = push(tuple(dt.expand_as(t) for dt, t in zip(tangents, primals, strict=True)))
        return (*new[outputs:], *d_new[outputs:]), d_new[:outputs]

    return Program(lambda w: w, lambda x, c: x, step, lambda y, p, c: (y, ()))


def zero_start(*shapes: tuple[str, ...]) -> Callable[..., Tensors]:
    def start(w: Tensors, sizes: dict[str, int], batch_shape: tuple[int, ...], dtype: Any, device: Any) -> Tensors:
        return tuple(
            torch.zeros((*batch_shape, *(sizes[a] for a in axes)), dtype=dtype, device=device) for axes in shapes
        )

    return start


# ---- h = a * h + x, real and complex


def linear_step(s: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    h = torch.addcmul(p[1], p[0], s[0])
    return (h,), (h,)


def one_and_zero(s: Tensors, c: object) -> tuple[Tensors, Tensors]:
    return (torch.ones_like(s[0]),), (torch.zeros_like(s[0]),)


def affine(A: Tensors, b: Tensors, s: Tensors) -> Tensors:
    return (torch.addcmul(b[0], A[0], s[0]),)


def linear_compose(e: Tensors, A: Tensors, b: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors, Tensors]:
    return e, (p[0] * A[0],), (torch.addcmul(p[1], p[0], b[0]),)


LINEAR = Program(
    lambda w: (),
    lambda x, c: x,
    linear_step,
    lambda y, p, c: (y, ()),
    (Level((0,), (), one_and_zero, linear_compose, affine),),
)


def linear_adjoint_step(s: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    g = s[0] + p[2]
    return (p[0] * g,), (g,)


def linear_adjoint_compose(e: Tensors, A: Tensors, b: Tensors, p: Tensors, c: object) -> Any:
    return e, (p[0] * A[0],), (p[0] * (b[0] + p[2]),)


LINEAR_ADJOINT = Program(
    lambda w: (),
    lambda x, c: (x[0].conj(), x[2].conj(), x[3]),
    linear_adjoint_step,
    lambda y, p, c: ((y[0] * p[1], y[0]), ()),
    (Level((0,), (), one_and_zero, linear_adjoint_compose, affine),),
)


def linear_tangent_step(s: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    a, x, da, dx = p
    dh = a * s[1] + da * s[0] + dx
    return (a * s[0] + x, dh), (dh,)


def linear_tangent_compose(e: Tensors, A: Tensors, b: Tensors, p: Tensors, c: object) -> Any:
    a, x, da, dx = p
    return (a * e[0] + x,), (a * A[0],), (a * b[0] + da * e[0] + dx,)


LINEAR_TANGENT = Program(
    lambda w: (),
    lambda x, c: x,
    linear_tangent_step,
    lambda y, p, c: (y, ()),
    (
        Level((0,), (), one_and_zero, linear_compose, affine),
        Level((1,), (0,), one_and_zero, linear_tangent_compose, affine),
    ),
)


def linear_spec(key: str, is_complex: bool) -> Spec:
    a, x, h, o = (Port(name, ("D",), is_complex) for name in "axho")
    signature = Signature(key, (a, x), (), (h,), (o,), {})
    start = zero_start(("D",))
    return Spec(signature, LINEAR, LINEAR_ADJOINT, LINEAR_TANGENT, start, key)


# ---- the gated delta rule: S = exp(g) * S; S = S + beta * outer(k, v - k @ S); o = q @ S


def delta_prepare(x: Tensors, c: object) -> Tensors:
    q, k, v, g, beta = x
    return q.unsqueeze(-2), k.unsqueeze(-2), v.unsqueeze(-2), g.exp()[..., None, None], beta[..., None, None]


def delta_step(s: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    q, k, v, decay, beta = p
    S = decay * s[0]
    S = S + beta * k.mT * (v - k @ S)
    return (S,), (q @ S,)


def delta_begin(s: Tensors, c: object) -> tuple[Tensors, Tensors]:
    S = s[0]
    return (torch.eye(S.shape[-2], dtype=S.dtype, device=S.device).expand(*S.shape[:-1], -1),), (torch.zeros_like(S),)


def delta_compose(e: Tensors, A: Tensors, b: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors, Tensors]:
    _, k, v, decay, beta = p
    P, Q = decay * A[0], decay * b[0]
    u = beta * k.mT
    return e, (P - u * (k @ P),), (Q + u * (v - k @ Q),)


def matmul_affine(A: Tensors, b: Tensors, s: Tensors) -> Tensors:
    return (A[0] @ s[0] + b[0],)


DELTA = Program(
    lambda w: (),
    delta_prepare,
    delta_step,
    lambda y, p, c: ((y[0].squeeze(-2),), ()),
    (Level((0,), (), delta_begin, delta_compose, matmul_affine),),
)


def delta_adjoint_prepare(x: Tensors, c: object) -> Tensors:
    return (*delta_prepare(x[:5], c), x[5], x[6].unsqueeze(-2))


def delta_adjoint_step(s: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    q, k, _, decay, beta, _, d_o = p
    G = s[0] + q.mT * d_o
    return (decay * (G - beta * k.mT * (k @ G)),), (G,)


def delta_adjoint_compose(e: Tensors, A: Tensors, b: Tensors, p: Tensors, c: object) -> Any:
    q, k, _, decay, beta, _, d_o = p
    u = beta * k.mT
    G = b[0] + q.mT * d_o
    return e, (decay * (A[0] - u * (k @ A[0])),), (decay * (G - u * (k @ G)),)


def delta_adjoint_finish(y: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    q, k, v, decay, beta, S, d_o = p
    G = y[0]
    S = decay * S
    error = v - k @ S
    d_error = beta * (k @ G)
    d_S = G - k.mT * d_error
    d_q = d_o @ (S + beta * k.mT * error).mT
    d_k = beta * error @ G.mT - d_error @ S.mT
    d_g, d_beta = (d_S * S).sum((-1, -2)), (G * (k.mT * error)).sum((-1, -2))
    return (d_q.squeeze(-2), d_k.squeeze(-2), d_error.squeeze(-2), d_g, d_beta), ()


DELTA_ADJOINT = Program(
    lambda w: (),
    delta_adjoint_prepare,
    delta_adjoint_step,
    delta_adjoint_finish,
    (Level((0,), (), delta_begin, delta_adjoint_compose, matmul_affine),),
)


def delta_spec() -> Spec:
    q, k, v = Port("q", ("K",)), Port("k", ("K",)), Port("v", ("V",))
    inputs = (q, k, v, Port("g"), Port("beta"))
    signature = Signature("gated_delta", inputs, (), (Port("S", ("K", "V")),), (Port("o", ("V",)),), {})
    tangent = derived_tangent(DELTA, 5, 1, 1)
    return Spec(signature, DELTA, DELTA_ADJOINT, tangent, zero_start(("K", "V")), "gated_delta")


# ---- a cascade: m = max(f + m, i); C = exp(f + m_old - m) * C + exp(i - m) * x; n likewise; o = C / max(n, exp(-m))


class CascadeState(NamedTuple):
    C: Tensor
    n: Tensor
    m: Tensor


class CascadeOutput(NamedTuple):
    o: Tensor
    level: Tensor


def cascade_gates(m: Tensor, p: Tensors) -> tuple[Tensor, Tensor, Tensor]:
    _, i, f = p
    new = torch.maximum(f + m, i)
    return new, (f + m - new).exp(), (i - new).exp()


def cascade_step(s: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    C, n, m = s
    m, decay, gain = cascade_gates(m, p)
    C = decay.unsqueeze(-1) * C + gain.unsqueeze(-1) * p[0]
    n = decay * n + gain
    return (C, n, m), (C, n, m)


def cascade_finish(y: Tensors, p: Tensors, c: object) -> tuple[Tensors, Tensors]:
    C, n, m = y
    return (C / torch.maximum(n, (-m).exp()).unsqueeze(-1), m), ()


def max_plus_begin(s: Tensors, c: object) -> tuple[Tensors, Tensors]:
    return (torch.zeros_like(s[0]),), (torch.full_like(s[0], -torch.inf),)


def max_plus_compose(e: Tensors, A: Tensors, b: Tensors, p: Tensors, c: object) -> Any:
    return e, (A[0] + p[2],), (torch.maximum(b[0] + p[2], p[1]),)


def max_plus_advance(A: Tensors, b: Tensors, s: Tensors) -> Tensors:
    return (torch.maximum(A[0] + s[0], b[0]),)


def decay_begin(s: Tensors, c: object) -> tuple[Tensors, Tensors]:
    return (torch.ones_like(s[1]),), tuple(torch.zeros_like(t) for t in s)


def decay_compose(e: Tensors, A: Tensors, b: Tensors, p: Tensors, c: object) -> Any:
    m, decay, gain = cascade_gates(e[0], p)
    C = decay.unsqueeze(-1) * b[0] + gain.unsqueeze(-1) * p[0]
    return (m,), (decay * A[0],), (C, decay * b[1] + gain)


def decay_advance(A: Tensors, b: Tensors, s: Tensors) -> Tensors:
    return A[0].unsqueeze(-1) * s[0] + b[0], A[0] * s[1] + b[1]


CASCADE = Program(
    lambda w: (),
    lambda x, c: x,
    cascade_step,
    cascade_finish,
    (
        Level((2,), (), max_plus_begin, max_plus_compose, max_plus_advance),
        Level((0, 1), (2,), decay_begin, decay_compose, decay_advance),
    ),
)


def cascade_start(w: Tensors, sizes: dict[str, int], batch_shape: tuple[int, ...], dtype: Any, device: Any) -> Tensors:
    zero = torch.zeros((), dtype=dtype, device=device)
    return zero.expand(*batch_shape, sizes["D"]), zero.expand(batch_shape), (zero - torch.inf).expand(batch_shape)


def cascade_spec() -> Spec:
    inputs = (Port("x", ("D",)), Port("i"), Port("f"))
    states = (Port("C", ("D",)), Port("n"), Port("m"))
    outputs = (Port("o", ("D",)), Port("level"))
    signature = Signature("cascade", inputs, (), states, outputs, {})
    adjoint, tangent = derived_adjoint(CASCADE, 3, 2, 3), derived_tangent(CASCADE, 3, 2, 3)
    return Spec(signature, CASCADE, adjoint, tangent, cascade_start, "cascade", CascadeOutput, CascadeState)


# ---- h = tanh(x + u * h + h @ U), h starts at the param h0: nonlinear, with params, derivatives by hand


def rnn_step(s: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
    u, U = c[0], c[1]
    h = torch.tanh(p[0] + u * s[0] + (s[0].unsqueeze(-2) @ U).squeeze(-2))
    return (h,), (h,)


RNN = Program(lambda w: w, lambda x, c: x, rnn_step, lambda y, p, c: (y, ()))


def rnn_adjoint_prepare(x: Tensors, c: Tensors) -> Tensors:
    x_t, before, d_o = x
    (after,), _ = rnn_step((before,), (x_t,), c)
    return 1 - after * after, before, d_o


def rnn_adjoint_step(s: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
    slope, _, d_o = p
    d = slope * (s[0] + d_o)
    return (c[0] * d + (c[1] @ d.unsqueeze(-1)).squeeze(-1),), (d,)


def rnn_adjoint_finish(y: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
    before, d = p[1], y[0]
    totals = (before * d).sum(1), (before.unsqueeze(-1) * d.unsqueeze(-2)).sum(1), torch.zeros_like(before[:, 0])
    return (d,), totals


RNN_ADJOINT = Program(lambda w: w, rnn_adjoint_prepare, rnn_adjoint_step, rnn_adjoint_finish)


def rnn_start(w: Tensors, sizes: dict[str, int], batch_shape: tuple[int, ...], dtype: Any, device: Any) -> Tensors:
    return (w[2],)


def rnn_spec() -> Spec:
    params = (Port("u", ("D",)), Port("U", ("D", "D")), Port("h0", ("D",)))
    signature = Signature("rnn", (Port("x", ("D",)),), params, (Port("h", ("D",)),), (Port("o", ("D",)),), {})
    tangent = derived_tangent(RNN, 1, 1, 1)
    refusal = "`h` is not affine in its previous value"
    return Spec(signature, RNN, RNN_ADJOINT, tangent, rnn_start, "rnn", refusal=refusal)


# ---- s = a * s; r = b; outputs a sum, b * b and the r before: what lacks dimensions is broadcast


def constant_step(s: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
    h = c[0] * s[0]
    return (h, c[1]), (h + s[1], s[1])


CONSTANT = Program(
    lambda w: w,
    lambda x, c: (x[0] + c[0], c[1].square()),
    constant_step,
    lambda y, p, c: ((y[0] + p[0], p[1], y[1]), ()),
    (
        Level(
            (0, 1),
            (),
            lambda s, c: (
                (torch.ones_like(s[0]), torch.ones_like(s[1])),
                (torch.zeros_like(s[0]), torch.zeros_like(s[1])),
            ),
            lambda e, A, b, p, c: (e, (c[0] * A[0], torch.zeros_like(c[1])), (c[0] * b[0], c[1])),
            lambda A, b, s: (A[0] * s[0] + b[0], A[1] * s[1] + b[1]),
        ),
    ),
)


def constant_finish(y: Tensors, p: Tensors, c: Tensors) -> tuple[Tensors, Tensors]:
    o = y[0] + p[0]
    return (o, p[1].expand_as(o), y[1]), ()


class ConstantState(NamedTuple):
    s: Tensor
    r: Tensor


class ConstantOutput(NamedTuple):
    o: Tensor
    square: Tensor
    before: Tensor


def constant_spec() -> Spec:
    params, outputs = (Port("a"), Port("b")), (Port("o"), Port("square"), Port("before"))
    signature = Signature("constant", (Port("x"),), params, (Port("s"), Port("r")), outputs, {})
    full = CONSTANT._replace(finish=constant_finish)
    adjoint, tangent = derived_adjoint(full, 1, 3, 2), derived_tangent(full, 1, 3, 2)
    start = zero_start((), ())
    return Spec(signature, CONSTANT, adjoint, tangent, start, "constant", ConstantOutput, ConstantState)


SPECS = {
    "linear": linear_spec("linear", False),
    "complex": linear_spec("complex", True),
    "delta": delta_spec(),
    "cascade": cascade_spec(),
    "rnn": rnn_spec(),
    "constant": constant_spec(),
}

for spec in SPECS.values():
    register_operator(spec)


def arguments(
    name: str, B: int, T: int, lanes: tuple[int, ...] = (2,), dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Random inputs, params and initial states (B, *lanes, ...) of one of the recurrences."""
    D, K, V = 3, 3, 2

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype)

    lead, row = (B, T, *lanes), (B, *lanes)
    if name == "linear":
        return [normal(*lead, D).sigmoid(), normal(*lead, D)], [], [normal(*row, D)]
    if name == "complex":
        phase = torch.polar(normal(*lead, D).sigmoid(), normal(*lead, D))
        return (
            [phase, torch.complex(normal(*lead, D), normal(*lead, D))],
            [],
            [torch.complex(normal(*row, D), normal(*row, D))],
        )
    if name == "delta":
        k = torch.nn.functional.normalize(normal(*lead, K), dim=-1)
        x = [normal(*lead, K), k, normal(*lead, V), -normal(*lead).abs(), normal(*lead).sigmoid()]
        return x, [], [normal(*row, K, V)]
    if name == "cascade":
        return (
            [normal(*lead, D), normal(*lead), -normal(*lead).exp()],
            [],
            [normal(*row, D), normal(*row), normal(*row)],
        )
    if name == "rnn":
        return [normal(*lead, D)], [0.5 * normal(*lanes, D), 0.3 * normal(D, D), normal(D)], [normal(*row, D)]
    return [normal(*lead)], [normal(*lanes).sigmoid(), normal()], [normal(*row), normal(*row)]


def reference(name: str, x: list[Tensor], w: list[Tensor], s: list[Tensor] | None) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and final states by a plain loop over the paper's equations, inputs (B, T, *lanes, ...)."""
    B, T, lanes = x[0].shape[0], x[0].shape[1], x[-1].shape[2 : x[-1].dim() - (name in ("linear", "complex", "rnn"))]
    kept: list[tuple[Tensor, ...]] = []
    if s is None:
        spec = SPECS[name]
        axes = {"D": x[0].shape[-1], "K": x[0].shape[-1], "V": x[2].shape[-1] if len(x) > 2 and x[2].dim() > 2 else 1}
        shapes = [(B, *lanes, *(axes[str(a)] for a in port.axes)) for port in spec.signature.states]
        s = [torch.zeros(n, dtype=x[0].dtype) for n in shapes]
        if name == "rnn":
            s = [w[2].expand(shapes[0])]
        if name == "cascade":
            s[2] = s[2] - torch.inf
    for t in range(T):
        s, y = REFERENCES[name]([u[:, t] for u in x], w, s)
        kept.append(tuple(y))
    return [torch.stack(column, 1) for column in zip(*kept, strict=True)], s


def delta_reference(x: list[Tensor], w: list[Tensor], s: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    q, k, v, g, beta = x
    S = g.exp()[..., None, None] * s[0]
    error = v - torch.einsum("...k,...kv->...v", k, S)
    S = S + torch.einsum("...,...k,...v->...kv", beta, k, error)
    return [S], [torch.einsum("...k,...kv->...v", q, S)]


def cascade_reference(x: list[Tensor], w: list[Tensor], s: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    v, i, f = x
    C, n, m = s
    new = torch.maximum(f + m, i)
    C = torch.exp(f + m - new)[..., None] * C + torch.exp(i - new)[..., None] * v
    n = torch.exp(f + m - new) * n + torch.exp(i - new)
    return [C, n, new], [C / torch.maximum(n, torch.exp(-new))[..., None], new]


def linear_reference(x: list[Tensor], w: list[Tensor], s: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    h = x[0] * s[0] + x[1]
    return [h], [h]


def rnn_reference(x: list[Tensor], w: list[Tensor], s: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    h = torch.tanh(x[0] + w[0] * s[0] + torch.einsum("...i,...ij->...j", s[0], w[1]))
    return [h], [h]


def constant_reference(x: list[Tensor], w: list[Tensor], s: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    h, r = w[0] * s[0], w[1].expand_as(s[1])
    return [h, r], [h + s[1] + x[0] + w[0], r**2, s[1]]


REFERENCES: dict[str, Callable[..., tuple[list[Tensor], list[Tensor]]]] = {
    "linear": linear_reference,
    "complex": linear_reference,
    "delta": delta_reference,
    "cascade": cascade_reference,
    "rnn": rnn_reference,
    "constant": constant_reference,
}


def methods(name: str) -> tuple[str, ...]:
    return ("sequential", "scan") if SPECS[name].primal.levels else ("sequential",)


def flat(values: Any) -> list[Tensor]:
    """One or several outputs or states, as a list."""
    return [values] if isinstance(values, Tensor) else list(values)
