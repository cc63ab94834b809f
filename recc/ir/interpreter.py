"""The meaning of a recurrence: all its steps, one after the other, in NumPy float64 and complex128.

Everything else in the compiler is right when it agrees with this file. It is vectorised over batch dims and loops
over time; it is written to be read, not to be fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from recc.ir.evaluation import Array, Evaluation, Sizes, evaluate, extent
from recc.ir.nodes import Expr, Recurrence, Size, Var

__all__ = ["evaluate", "run", "start", "step"]

Values = dict[str, Array]


def step(recurrence: Recurrence, env: Mapping[str, Array], sizes: Sizes, rank: int) -> tuple[Values, Values, Values]:
    """One step: the outputs, the new states and what is added to the totals, each `(*batch, *axes)`.

    `env` holds inputs, params and the states on entry, with `rank` batch dims each. Every definition sees the states
    on entry; the new states take their place together."""
    known = dict(env)
    evaluation = Evaluation(known, sizes, rank)

    def value_of(var: Var, expr: Expr) -> Array:
        return _typed(evaluation.over(expr, var.axes), var)

    with np.errstate(all="ignore"):
        for let in recurrence.lets:
            known[let.name] = evaluation.over(let.expr, let.axes)
        outputs = {item.name: value_of(item.var, item.expr) for item in recurrence.outputs}
        totals = {item.name: value_of(item.var, item.expr) for item in recurrence.totals}
        states = {item.name: value_of(item.var, recurrence.update_of(item.name)) for item in recurrence.states}
    return outputs, states, totals


def start(
    recurrence: Recurrence, params: Mapping[str, object], batch: tuple[int, ...] = (), sizes: Sizes | None = None
) -> Values:
    """The states before the first step, each `(*batch, *features)`.

    Params have dims `(*batch, *features)`, where batch dims may be missing in front or be 1. Sizes that no param
    has must be given in `sizes`. Raises `ValueError` where names or sizes do not fit."""
    _check_names("param", params, [var.name for var in recurrence.params])
    arrays = {var.name: _typed(np.asarray(params[var.name]), var) for var in recurrence.params}
    known = _find_sizes(recurrence, [(var, arrays[var.name], 0) for var in recurrence.params], sizes or {})
    batch = np.broadcast_shapes(batch, *(_batch(arrays[var.name], var, 0) for var in recurrence.params))
    return _start(recurrence, _with_rank(recurrence.params, arrays, 0, len(batch)), batch, known)


def run(
    recurrence: Recurrence,
    inputs: Mapping[str, object],
    params: Mapping[str, object] | None = None,
    state: Mapping[str, object] | None = None,
    *,
    steps: int | None = None,
    sizes: Sizes | None = None,
) -> tuple[Values, Values, Values]:
    """All steps: `(outputs, final states, totals)`.

    Inputs have dims `(*batch, T, *features)`; params and the initial state `(*batch, *features)`; batch dims broadcast
    as in NumPy and may be missing in front. Outputs have dims `(*batch, T, *features)`, states and totals
    `(*batch, *features)`, with the common batch. `T` may be 0; a recurrence without inputs needs `steps`. Sizes
    that no array has can be given in `sizes`. Raises `ValueError` where names, dims or sizes do not fit, and
    `TypeError` for a complex value of a real name."""
    params = {} if params is None else params
    _check_names("input", inputs, [var.name for var in recurrence.inputs])
    _check_names("param", params, [var.name for var in recurrence.params])
    given = [(var, np.asarray(inputs[var.name]), 1) for var in recurrence.inputs]
    given += [(var, np.asarray(params[var.name]), 0) for var in recurrence.params]
    if state is not None:
        _check_names("state", state, list(recurrence.state_names))
        given += [(item.var, np.asarray(state[item.name]), 0) for item in recurrence.states]
    known = _find_sizes(recurrence, given, sizes or {})
    batch = np.broadcast_shapes(*(_batch(array, var, time) for var, array, time in given))
    length = _length(given, steps)
    arrays = {var.name: _typed(array, var) for var, array, _ in given}
    return _run(recurrence, arrays, batch, known, length, fresh=state is None)


def _run(
    recurrence: Recurrence, arrays: Values, batch: tuple[int, ...], sizes: Sizes, length: int, fresh: bool
) -> tuple[Values, Values, Values]:
    rank = len(batch)
    over_time = _with_rank(recurrence.inputs, arrays, 1, rank)
    params = _with_rank(recurrence.params, arrays, 0, rank)
    if fresh:
        states = _start(recurrence, params, batch, sizes)
    else:
        given = _with_rank(tuple(item.var for item in recurrence.states), arrays, 0, rank)
        states = {name: np.array(np.broadcast_to(v, batch + v.shape[rank:])) for name, v in given.items()}
    outputs = {item.name: _zeros(item.var, (length, *batch), sizes) for item in recurrence.outputs}
    totals = {item.name: _zeros(item.var, batch, sizes) for item in recurrence.totals}
    for t in range(length):
        present = {name: array.take(t, axis=rank) for name, array in over_time.items()}
        emitted, new, added = step(recurrence, {**params, **states, **present}, sizes, rank)
        for name, value in emitted.items():
            outputs[name][t] = value
        for name, value in added.items():
            totals[name] = totals[name] + value
        states = {name: np.array(np.broadcast_to(v, batch + v.shape[rank:])) for name, v in new.items()}
    return {name: np.moveaxis(value, 0, rank) for name, value in outputs.items()}, states, totals


def _start(recurrence: Recurrence, params: Values, batch: tuple[int, ...], sizes: Sizes) -> Values:
    evaluation = Evaluation(params, sizes, len(batch))
    states: Values = {}
    with np.errstate(all="ignore"):
        for item in recurrence.states:
            value = _typed(evaluation.over(item.start, item.var.axes), item.var)
            states[item.name] = np.array(np.broadcast_to(value, batch + value.shape[len(batch) :]))
    return states


def _check_names(kind: str, given: Mapping[str, object], declared: list[str]) -> None:
    for name in declared:
        if name not in given:
            raise ValueError(f"the {kind} `{name}` is missing")
    for name in given:
        if name not in declared:
            raise ValueError(f"`{name}` is not a name of the recurrence's {kind}s")


def _typed(value: Array, var: Var) -> Array:
    if np.iscomplexobj(value) and not var.complex:
        raise TypeError(f"`{var.name}` is real, and its value complex")
    return value.astype(np.complex128 if var.complex else np.float64)


def _batch(array: Array, var: Var, time: int) -> tuple[int, ...]:
    return array.shape[: array.ndim - len(var.sizes) - time]


def _length(given: list[tuple[Var, Array, int]], steps: int | None) -> int:
    lengths = {array.shape[-len(var.sizes) - 1] for var, array, time in given if time}
    lengths |= set() if steps is None else {steps}
    if len(lengths) != 1:
        found = sorted(lengths) or "none: give `steps`"
        raise ValueError(f"the inputs must have one number of steps, they have {found}")
    return lengths.pop()


def _find_sizes(recurrence: Recurrence, given: list[tuple[Var, Array, int]], sizes: Sizes) -> dict[Size, int]:
    known: dict[Size, int] = {**dict(sizes.items()), **dict(recurrence.sizes)}
    for var, array, time in given:
        if array.ndim < len(var.sizes) + time:
            raise ValueError(f"`{var.name}` needs at least {len(var.sizes) + time} dims, it has {array.ndim}")
        shape = array.shape[array.ndim - len(var.sizes) :]
        for size, number in zip(var.sizes, shape, strict=True):
            expected = size if isinstance(size, int) else known.setdefault(size, number)
            if expected != number:
                raise ValueError(f"`{var.name}` has {number} where the size `{size}` is {expected}")
    return known


def _with_rank(variables: Iterable[Var], arrays: Values, time: int, rank: int) -> Values:
    """Put batch dims of size 1 in front where some are missing."""
    result: Values = {}
    for var in variables:
        array = arrays[var.name]
        missing = rank + time + len(var.sizes) - array.ndim
        result[var.name] = array.reshape((1,) * missing + array.shape)
    return result


def _zeros(var: Var, leading: tuple[int, ...], sizes: Sizes) -> Array:
    shape = tuple(extent(size, sizes) for size in var.sizes)
    return np.zeros(leading + shape, np.complex128 if var.complex else np.float64)
