"""Linear time-invariant systems `s' = A s + B u`, `y = C s + D u` over many steps, by fast Fourier transforms.

All outputs are a causal convolution of u with D, C B, C A B, C A A B, ... (the impulse response), or, where A is
diagonal and that is less, of each element of B u with its powers. Time is the last dimension of data
`(..., channels, steps)`; matrices are `(..., rows, columns)`, and broadcast in front. Powers come from repeated
squaring, which doubles a relative error each time, and are computed in double precision.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SEGMENT_STEPS = 2**12  # in one convolution: bounds memory, and what the powers of a growing A come to
KERNEL_ELEMENTS = 2**24  # of an impulse response
SMALLEST_SEGMENT = 2**6


class Form(NamedTuple):
    """One system: A `(n, n)`, or `(n,)` where it is diagonal, B `(n, inputs)`, C `(outputs, n)`, D."""

    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    diagonal: bool


class Response(NamedTuple):
    """What a system does in up to `steps` steps; stacks of matrices have a dimension -3.

    `kernel` `(outputs, inputs, steps)` is what one impulse leads to; `reached` holds A^i B, `seen` holds C A^i, both
    for i < 2^low; `squares` A, A^2, A^4, ..., the last of at least `steps`."""

    kernel: Tensor
    reached: Tensor
    seen: Tensor
    squares: tuple[Tensor, ...]
    low: int
    diagonal: bool


def drive_system(form: Form, kind: str, u: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs `(..., outputs, T)` and final state of a system driven by `u` `(..., inputs, T)` from `s` `(..., n, 1)`.

    `kind` says what A is: "zero", "identity", "diagonal" or "dense". T is 1 at least."""
    by_state = kind in ("zero", "identity") or (kind == "diagonal" and fewer_by_state(form))
    elements = form.A.numel() if by_state else form.D.numel()
    steps = min(u.shape[-1], SEGMENT_STEPS, max(SMALLEST_SEGMENT, KERNEL_ELEMENTS // max(1, elements)))
    kernel = powers_of(form.A, steps + 1) if by_state and kind == "diagonal" else None
    response = None if by_state else response_of(form, steps)
    parts = []
    for part in u.split(steps, -1):
        if response is None:
            y, s = drive_elements(form, kind, kernel, part, s)
        else:
            y, s = drive_by_response(response, part, s)
        parts.append(y)
    return (parts[0] if len(parts) == 1 else torch.cat(parts, -1)), s


def fewer_by_state(form: Form) -> bool:
    """Whether to transform every element of a state is less than to transform inputs and outputs and mix them."""
    (outputs, inputs), n = form.D.shape[-2:], form.A.shape[-1]
    return 2 * n <= inputs + outputs + inputs * outputs // 8


def drive_elements(form: Form, kind: str, kernel: Tensor | None, u: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Some steps of a system whose elements do not mix: the states before each step, then what comes of them."""
    moved = matrix_product(form.B, u)
    states = torch.cat([s.expand(*moved.shape[:-1], 1).to(moved.dtype), moved], -1)
    if kind == "identity":
        states = states.cumsum(-1)
    elif kernel is not None:
        states = causal_convolution(kernel[..., None, None, : states.shape[-1]], states.unsqueeze(-2)).squeeze(-2)
    return matrix_product(form.C, states[..., :-1]) + matrix_product(form.D, u), states[..., -1:]


def drive_by_response(response: Response, u: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Some steps of a system by its impulse response, and what becomes of the state that it starts from."""
    steps = u.shape[-1]
    free = s
    for power in response.squares[response.low : -1]:
        free = torch.cat([free, left_product(power, free, response.diagonal)], -1)
    seen = contract_wide("...ion,...nm->...omi", response.seen, free).flatten(-2)[..., :steps]
    return causal_convolution(response.kernel[..., :steps], u) + seen, left_power(response, steps, s) + reached_state(
        response, u
    )


def reached_state(response: Response, u: Tensor) -> Tensor:
    """The state `(..., n, 1)` that `u` leads to from zero: stretches of 2^low steps, then pairs of stretches."""
    inner, outer = 2**response.low, 2 ** (len(response.squares) - 1 - response.low)
    padded = torch.nn.functional.pad(u, (inner * outer - u.shape[-1], 0))
    stretches = padded.unflatten(-1, (outer, inner))
    ends = contract_wide("...ind,...dmi->...nm", response.reached.flip(-3), stretches)
    for power in response.squares[response.low : -1]:
        ends = left_product(power, ends[..., 0::2], response.diagonal) + ends[..., 1::2]
    return ends


def left_power(response: Response, steps: int, s: Tensor) -> Tensor:
    """A^steps s."""
    for place, power in enumerate(response.squares):
        if steps >> place & 1:
            s = left_product(power, s, response.diagonal)
    return s


def response_of(form: Form, steps: int) -> Response:
    """The impulse response of `steps` steps, C A^(i + 2^low m) B being (C A^(2^low m)) (A^i B)."""
    narrow = widest_dtype(form.A, form.B, form.C, form.D)
    wide = torch.complex128 if narrow.is_complex else torch.float64
    diagonal, levels = form.diagonal, (steps - 1).bit_length()
    squares = repeated_squares(form.A.to(wide), levels, diagonal)
    low = levels // 2
    reached, seen = form.B.to(wide).unsqueeze(-3), form.C.to(wide).unsqueeze(-3)
    far = seen
    for power in squares[:low]:
        stacked = power.unsqueeze(-2 if diagonal else -3)
        reached = torch.cat([reached, left_product(stacked, reached, diagonal)], -3)
        seen = torch.cat([seen, right_product(seen, stacked, diagonal)], -3)
    for power in squares[low:-1]:
        far = torch.cat([far, right_product(far, power.unsqueeze(-2 if diagonal else -3), diagonal)], -3)
    later = torch.einsum("...mon,...ind->...odmi", far, reached).flatten(-2)
    kernel = torch.cat([form.D.to(wide).unsqueeze(-1), later], -1)[..., :steps]
    parts = (kernel.to(narrow), reached.to(narrow), seen.to(narrow), tuple(square.to(narrow) for square in squares))
    return Response(*parts, low, diagonal)


def powers_of(A: Tensor, count: int) -> Tensor:
    """The powers of a diagonal matrix `(..., n)` from the 0th, `(..., n, count)`."""
    wide = A.to(torch.complex128 if A.is_complex() else torch.float64)
    found = torch.ones_like(wide).unsqueeze(-1)
    for square in repeated_squares(wide, (count - 1).bit_length(), True)[:-1]:
        found = torch.cat([found, square.unsqueeze(-1) * found], -1)
    return found[..., :count].to(A.dtype)


def repeated_squares(A: Tensor, levels: int, diagonal: bool) -> list[Tensor]:
    """A^1, A^2, A^4, ..., A^(2^levels)."""
    squares = [A]
    for _ in range(levels):
        last = squares[-1]
        squares.append(last * last if diagonal else last @ last)
    return squares


def causal_convolution(kernel: Tensor, u: Tensor) -> Tensor:
    """`y[o, t] = sum over i and j <= t of kernel[o, i, j] u[i, t - j]`, for as many steps as both have."""
    steps = u.shape[-1]
    if 0 in kernel.shape[-3:-1]:  # a transform of nothing is an error
        return matrix_product(kernel[..., 0], u)
    size = fast_size(2 * steps - 1)
    if kernel.is_complex() or u.is_complex():
        spectrum = mix_spectra(torch.fft.fft(kernel, size), torch.fft.fft(u, size))
        return torch.fft.ifft(spectrum, size)[..., :steps]
    spectrum = mix_spectra(torch.fft.rfft(kernel, size), torch.fft.rfft(u, size))
    return torch.fft.irfft(spectrum, size)[..., :steps]


def mix_spectra(kernel: Tensor, u: Tensor) -> Tensor:
    """At every frequency, the matrix of a kernel times the vector of inputs."""
    if kernel.shape[-2] == 1:
        return kernel.squeeze(-2) * u
    return torch.einsum("...oif,...if->...of", kernel, u)


def fast_size(least: int) -> int:
    """The smallest of 2^k, 3 2^k and 5 2^k that is large enough: transforms of such sizes are fast."""
    return min(odd << max(0, (-(-least // odd) - 1).bit_length()) for odd in (1, 3, 5))


def left_product(power: Tensor, x: Tensor, diagonal: bool) -> Tensor:
    """A x."""
    return power.unsqueeze(-1) * x if diagonal else matrix_product(power, x)


def right_product(x: Tensor, power: Tensor, diagonal: bool) -> Tensor:
    """x A."""
    return x * power.unsqueeze(-2) if diagonal else matrix_product(x, power)


def matrix_product(x: Tensor, y: Tensor) -> Tensor:
    """A matrix product in the wider of two dtypes."""
    dtype = widest_dtype(x, y)
    return x.to(dtype) @ y.to(dtype)


def contract_wide(subscripts: str, x: Tensor, y: Tensor) -> Tensor:
    dtype = widest_dtype(x, y)
    return torch.einsum(subscripts, x.to(dtype), y.to(dtype))


def widest_dtype(*tensors: Tensor) -> torch.dtype:
    """The widest dtype."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
