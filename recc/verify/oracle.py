"""What outputs, final states and gradients should be: the interpreter, on a recurrence and on its adjoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from recc.ir.evaluation import Array
from recc.ir.interpreter import Values, run
from recc.ir.nodes import Output, Recurrence, Ref, State, Var
from recc.ir.traverse import nodes
from recc.passes.adjoint import adjoint
from recc.verify.samples import Sample, Shape, draw_sample, normal, single

GROWTH = 1e6  # what values may grow to: beyond it, single precision says nothing
BITS = 20  # that are left of numbers, to see how far a recurrence amplifies rounding
AMPLIFICATION = 300.0  # of the rounding of numbers: beyond it, a chaotic recurrence, single precision says nothing
SCALES = (1.0, 0.25, 0.0625)
WARM_UP = 3
STEP = 1e-6  # of the finite difference
KINK = 1e-3  # by which the differences to both sides may differ where there is a derivative


@dataclass(frozen=True)
class Forward:
    """A run over the longest time. Dims `(rows, lanes, T, *features)`; `states` has T + 1 steps, the first the start.

    The first half of the rows starts from a state that can be reached, the other half where the recurrence starts."""

    sample: Sample
    outputs: Values
    states: Values
    longest: int  # of its steps, how many have values of moderate size that rounding does not change much

    @property
    def has_nan(self) -> bool:
        return any(np.isnan(value).any() for value in (*self.outputs.values(), *self.states.values()))


@dataclass(frozen=True)
class Expected:
    """What a call over `steps` steps should give, with the cotangents that its gradients are for.

    Dims `(rows, lanes, steps, *features)` and `(rows, lanes, *features)`: nothing is summed over rows and lanes."""

    steps: int
    outputs: Values
    finals: Values
    d_outputs: Values
    d_finals: Values
    d_inputs: Values
    d_params: Values
    d_starts: Values
    d_start_params: Values  # what gets to the params through the state that the recurrence starts from


class Oracle:
    """The interpreter on one sample of a recurrence, for any number of steps up to the sample's."""

    def __init__(self, recurrence: Recurrence, shape: Shape, seed: int = 0):
        self.recurrence = recurrence
        self._rng = np.random.default_rng(seed)
        self._tracing, self._entry_names = _with_entries(recurrence)
        self._adjoint = adjoint(recurrence)
        self.forward = self._settle(shape)

    def _settle(self, shape: Shape) -> Forward:
        """The first scale at which all steps can be compared, else the one at which most can."""
        tried: list[Forward] = []
        for scale in SCALES:
            tried.append(self._forward(shape, scale))
            if tried[-1].longest == shape.steps:
                break
        return max(tried, key=lambda forward: forward.longest)

    def _forward(self, shape: Shape, scale: float) -> Forward:
        warm = draw_sample(self.recurrence, self._rng, replace(shape, steps=WARM_UP), scale)
        sample = draw_sample(self.recurrence, self._rng, shape, scale)
        sample = replace(sample, params=warm.params)
        started = self._starts(sample.params, shape)
        _, reached, _ = run(self.recurrence, warm.inputs, warm.params, started, sizes=shape.sizes)
        fresh = np.arange(shape.rows) >= shape.rows // 2
        start = {name: _by_row(fresh, started[name], single(reached[name])) for name in started}
        outputs, states = self._trajectories(sample.inputs, sample.params, start, shape)
        beside = self._trajectories(_coarse(sample.inputs), _coarse(sample.params), _coarse(start), shape)
        values = [*outputs.values(), *states.values()]
        pairs = zip(values, [*beside[0].values(), *beside[1].values()], strict=True)
        return Forward(sample, outputs, states, _longest(pairs, shape.steps))

    def _trajectories(self, inputs: Values, params: Values, start: Values, shape: Shape) -> tuple[Values, Values]:
        """Outputs, and states on entry to each step and at the end."""
        results, finals, _ = run(self._tracing, inputs, params, start, sizes=shape.sizes)
        states = {
            name: np.concatenate([results[entry], finals[name][:, :, None]], axis=2)
            for name, entry in self._entry_names.items()
        }
        return {item.name: results[item.name] for item in self.recurrence.outputs}, states

    def _starts(self, params: Values, shape: Shape) -> Values:
        """Where the recurrence starts, `(rows, lanes, *features)`."""
        nothing = draw_sample(self.recurrence, self._rng, replace(shape, steps=0))
        _, states, _ = run(self.recurrence, nothing.inputs, params, sizes=shape.sizes)
        return states

    def expect(self, steps: int) -> Expected:
        """The first `steps` steps, with random cotangents for outputs and final states."""
        forward = self.forward
        outputs = {name: value[:, :, :steps] for name, value in forward.outputs.items()}
        finals = {name: value[:, :, steps] for name, value in forward.states.items()}
        d_outputs = {name: self._like(value) for name, value in outputs.items()}
        d_finals = {name: self._like(value) for name, value in finals.items()}
        d_inputs, d_starts, d_params = self._pull(steps, d_outputs, d_finals)
        through = self._pull_start(d_starts)
        return Expected(steps, outputs, finals, d_outputs, d_finals, d_inputs, d_params, d_starts, through)

    def _like(self, value: Array) -> Array:
        return normal(self._rng, value.shape, np.iscomplexobj(value))

    def _pull(self, steps: int, d_outputs: Values, d_finals: Values) -> tuple[Values, Values, Values]:
        """The cotangents of inputs, initial states and params: the adjoint, from the last step to the first."""
        recurrence, backward, sample = self.recurrence, self._adjoint, self.forward.sample
        entries = [self.forward.states[name][:, :, :steps] for name in recurrence.state_names]
        inputs = [sample.inputs[var.name][:, :, :steps] for var in recurrence.inputs]
        given = [*inputs, *entries, *(d_outputs[item.name] for item in recurrence.outputs)]
        reversed_inputs = {var.name: value[:, :, ::-1] for var, value in zip(backward.inputs, given, strict=True)}
        last = {state.name: d_finals[name] for state, name in zip(backward.states, recurrence.state_names, strict=True)}
        outputs, first, totals = run(backward, reversed_inputs, sample.params, last, sizes=sample.shape.sizes)
        return (
            _renamed(recurrence.inputs, (outputs[item.name][:, :, ::-1] for item in backward.outputs)),
            _renamed([s.var for s in recurrence.states], (first[state.name] for state in backward.states)),
            _renamed(recurrence.params, (totals[item.name] for item in backward.totals)),
        )

    def _pull_start(self, d_starts: Values) -> Values:
        """The cotangents that params get from the initial states, where these depend on them."""
        recurrence, sample = self.recurrence, self.forward.sample
        known = {var.name for var in recurrence.params}
        read = {node.name for s in recurrence.states for node in nodes(s.start) if isinstance(node, Ref)}
        if not read & known:
            return {}
        outputs = tuple(Output(replace(s.var, interval=None), s.start) for s in recurrence.states)
        once = Recurrence("start", inputs=recurrence.params, outputs=outputs, sizes=recurrence.sizes)
        backward = adjoint(once)
        lead = (sample.shape.rows, sample.shape.lanes)
        given = [np.broadcast_to(v, lead + v.shape[2:]) for v in sample.params.values()] + list(d_starts.values())
        inputs = {var.name: value[:, :, None] for var, value in zip(backward.inputs, given, strict=True)}
        results, _, _ = run(backward, inputs, sizes=sample.shape.sizes)
        return _renamed(recurrence.params, (results[item.name][:, :, 0] for item in backward.outputs))

    def slope_error(self, steps: int) -> float:
        """How far the adjoint's directional derivatives, one a row and lane, are from differences of the interpreter.

        Where the differences to both sides disagree there is no derivative, and nothing is compared."""
        steps = min(steps, self.forward.longest)
        expected, sample = self.expect(steps), self.forward.sample
        inputs = {name: value[:, :, :steps] for name, value in sample.inputs.items()}
        starts = {name: value[:, :, 0] for name, value in self.forward.states.items()}
        groups = (inputs, sample.params, starts)
        reached = np.arange(sample.shape.rows) < sample.shape.rows // 2
        moves = tuple({name: self._like(value) for name, value in group.items()} for group in groups)
        for move in moves[2].values():  # a fresh start is often where a recurrence has a jump
            move[~reached] = 0.0
        slopes = zip(moves, (expected.d_inputs, expected.d_params, expected.d_starts), strict=True)
        predicted = sum(_inner(slope, move) for move, slope in slopes)

        def loss(step: float) -> Array:
            moved = [_moved(group, move, step) for group, move in zip(groups, moves, strict=True)]
            outputs, finals, _ = run(self.recurrence, *moved, sizes=sample.shape.sizes)
            return _inner(expected.d_outputs, outputs) + _inner(expected.d_finals, finals)

        here, ahead, behind = loss(0.0), loss(STEP), loss(-STEP)
        right, left = (ahead - here) / STEP, (here - behind) / STEP
        size = 1 + np.abs(right) + np.abs(left)
        smooth = np.abs(right - left) < KINK * size
        return float(np.max(np.where(smooth, np.abs((right + left) / 2 - predicted) / size, 0.0), initial=0.0))


def _with_entries(recurrence: Recurrence) -> tuple[Recurrence, dict[str, str]]:
    """The recurrence that also puts out its states on entry to each step, and the names of these outputs."""
    used = {item.name for item in recurrence.outputs} | {let.name for let in recurrence.lets}
    names: dict[str, str] = {}
    for state in recurrence.states:
        name = f"{state.name}_on_entry"
        while name in used:
            name += "_"
        names[state.name] = name
    entries = tuple(Output(_named(state, names[state.name]), state.var.ref()) for state in recurrence.states)
    return replace(recurrence, outputs=recurrence.outputs + entries), names


def _named(state: State, name: str) -> Var:
    return Var(name, state.var.sizes, state.var.complex)


def _by_row(first: Array, x: Array, y: Array) -> Array:
    return np.where(first.reshape((-1,) + (1,) * (x.ndim - 1)), x, y)


def _coarse(values: Values) -> Values:
    """The nearest numbers of `BITS` bits; whole numbers stay, so that clocks and switches do."""
    return {
        name: _nearest(np.real(x)) + 1j * _nearest(np.imag(x)) if np.iscomplexobj(x) else _nearest(x)
        for name, x in values.items()
    }


def _nearest(value: Array) -> Array:
    mantissa, exponent = np.frexp(value)
    return np.ldexp(np.rint(mantissa * 2.0**BITS), exponent - BITS)


def _longest(trajectories: Iterable[tuple[Array, Array]], steps: int) -> int:
    """How many steps all stay below `GROWTH`, not counting what is infinite or NaN, and near the trajectory beside
    them, which begins a rounding to `BITS` away."""
    longest = steps
    for value, beside in trajectories:
        rest = tuple(axis for axis in range(value.ndim) if axis != 2)
        finite = np.isfinite(value) & np.isfinite(beside)
        with np.errstate(all="ignore"):
            size, change = (
                np.where(finite, np.abs(x), 0.0).max(axis=rest, initial=0.0) for x in (value, value - beside)
            )
        left = np.flatnonzero((size > GROWTH) | (change > AMPLIFICATION * 2.0**-BITS * (1 + size)))
        longest = min(longest, int(left[0]) if len(left) else steps)
    return longest


def _renamed(variables: Iterable[Var], values: Iterable[Array]) -> Values:
    return {var.name: value for var, value in zip(variables, values, strict=True)}


def _inner(cotangents: Mapping[str, Array], values: Mapping[str, Array]) -> Array:
    """The real inner product over all but rows and lanes, without what is infinite or NaN."""
    total = np.zeros(())
    for name, cotangent in cotangents.items():
        finite = np.where(np.isfinite(values[name]), values[name], 0.0)
        product = np.real(np.conj(cotangent) * finite)
        total = total + np.sum(product, axis=tuple(range(2, product.ndim)))
    return total


def _moved(values: Values, direction: Values, step: float) -> Values:
    return {name: value + step * direction[name] for name, value in values.items()}
