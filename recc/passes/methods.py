"""Which methods a recurrence admits; everything that has to know asks here."""

from __future__ import annotations

from recc.ir.nodes import Recurrence
from recc.passes.analyse import Analysis
from recc.passes.lower_convolution import ConvolutionPlan, convolution_of
from recc.passes.lower_scan import is_scannable


def admitted(recurrence: Recurrence, analysis: Analysis) -> tuple[str, ...]:
    """The methods by which a recurrence with this analysis can be solved: `("sequential", "scan")` for a gated decay,
    with "convolution" for a decay by a param."""
    found = ["sequential"]
    if is_scannable(analysis):
        found.append("scan")
    if isinstance(convolution_of(recurrence), ConvolutionPlan):
        found.append("convolution")
    return tuple(found)
