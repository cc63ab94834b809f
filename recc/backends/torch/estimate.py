"""What a step costs as numbers, and as the function of an emitted module that says how long a call should take."""

from __future__ import annotations

from collections.abc import Mapping

from recc.ir.nodes import Size
from recc.passes.cost import RATES, Cost, PassCost, Polynomial, Vectors, value_at
from recc.runtime.costs import Rates, StepWork, TorchStep


def step_work(cost: PassCost, sizes: Mapping[str, int]) -> StepWork:
    """The work of one step at given sizes."""
    native = cost.native and (value_at(cost.native.vectors, sizes), value_at(cost.native.bytes, sizes))
    summed = None if cost.native is None or cost.native.summed is None else value_at(cost.native.summed, sizes)
    scanned = cost.scanned and torch_step(cost.scanned, sizes)
    side = cost.native.side if cost.native else 1
    return StepWork(torch_step(cost.walked, sizes), scanned, torch_step(cost.ahead, sizes), native, summed, side)


def torch_step(cost: Cost, sizes: Mapping[str, int]) -> TorchStep:
    return TorchStep(cost.calls, cost.at(sizes), value_at(cost.products, sizes))


def print_estimate(passes: tuple[PassCost, PassCost], fixed: Mapping[str, int]) -> str:
    """`estimate(sizes, steps, rows, threads, training, processors)`, from the costs of both passes.

    `fixed` are the sizes that are known."""
    sizes: dict[str, None] = {}
    for polynomial in (part for cost in passes for part in _polynomials(cost)):
        for monomial, _ in polynomial:
            plain = (item.size if isinstance(item, Vectors) else item for item in monomial)
            sizes |= {size: None for size in plain if isinstance(size, str)}
    lines = [f"    {size} = {fixed[size]}" if size in fixed else f'    {size} = sizes["{size}"]' for size in sizes]
    for name, cost in zip(("forward", "backward"), passes, strict=True):
        lines += [f"    {name} = StepWork(", *(f"        {text}," for text in _work(cost)), "    )"]
    return "\n".join(
        [
            "def estimate(sizes, steps, rows, threads=1, training=False, processors=1):",
            '    """Seconds that torch takes step by step and by a scan, and that native code takes."""',
            *lines,
            "    passes = (forward, backward) if training else (forward,)",
            "    rates = Rates(",
            *(f"        {name}={rate}," for name, rate in zip(Rates._fields, RATES, strict=True)),
            "    )",
            "    return expected_seconds(passes, rates, steps, rows, threads, processors)",
        ]
    )


def _polynomials(cost: PassCost) -> list[Polynomial]:
    found = [
        part for item in (cost.walked, cost.scanned, cost.ahead) if item for part in (item.elements, item.products)
    ]
    return found + ([cost.native.vectors, cost.native.bytes, cost.native.summed or ()] if cost.native else [])


def _work(cost: PassCost) -> list[str]:
    native = f"({_terms(cost.native.vectors)}, {_terms(cost.native.bytes)})" if cost.native else "None"
    scanned = _torch_step(cost.scanned) if cost.scanned else "None"
    more = [f"summed={_terms(cost.native.summed)}"] if cost.native and cost.native.summed is not None else []
    more += [f"side={cost.native.side}"] if cost.native and cost.native.side > 1 else []
    return [_torch_step(cost.walked), scanned, _torch_step(cost.ahead), native, *more]


def _torch_step(cost: Cost) -> str:
    return f"TorchStep({cost.calls}, {_terms(cost.elements)}, {_terms(cost.products)})"


def _terms(polynomial: Polynomial) -> str:
    terms = [" * ".join([*([str(n)] if n > 1 or not m else []), *map(_factor, m)]) for m, n in polynomial]
    return " + ".join(terms) or "0"


def _factor(size: Size | Vectors) -> str:
    return size.code if isinstance(size, Vectors) else str(size)
