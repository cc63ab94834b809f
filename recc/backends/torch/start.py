"""The function that makes the states before the first step."""

from __future__ import annotations

from recc.backends.torch.expression import Printer
from recc.backends.torch.functions import Context
from recc.backends.torch.layout import ATOM
from recc.backends.torch.names import python_name
from recc.ir.nodes import Recurrence, Ref, State
from recc.ir.traverse import nodes


def print_start(recurrence: Recurrence, context: Context) -> str:
    """`start(params, sizes, leading, dtype, device)`: every state, behind leading dimensions `(B, 1, *lanes)`."""
    printer = Printer(name_of=python_name, sizes=context.sizes, ranks=context.ranks, helpers=context.helpers)
    lines = [f"{python_name(state.name)} = {_start(state, printer)}" for state in recurrence.states]
    read = {node.name for state in recurrence.states for node in nodes(state.start) if isinstance(node, Ref)}
    head = []
    if read:
        names = [python_name(var.name) if var.name in read else "_" for var in recurrence.params]
        head.append(f"{', '.join(names)}{',' if len(names) == 1 else ''} = params")
    head += [f'{size} = sizes["{size}"]' for size in printer.used_sizes]
    if any(state.var.complex for state in recurrence.states):  # torch.compile does not trace dtype.to_complex
        head.append("complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64")
    if printer.needs_like:
        head.append("like = torch.empty((), dtype=dtype, device=device)")
    names = [python_name(state.name) for state in recurrence.states]
    body = "\n".join(f"    {line}" for line in head + lines)
    return (
        "def start(params, sizes, leading, dtype, device):\n"
        '    """The states before the first step."""\n'
        f"{body}\n"
        f"    return ({', '.join(names)}{',' if len(names) == 1 else ''})"
    )


def _start(state: State, printer: Printer) -> str:
    text = printer.text(state.start)
    sizes = "".join(f", {printer.size(axis.size).code}" for axis in state.var.axes)
    shape = f"(*leading{sizes or ','})"
    dtype = "complex_dtype" if state.var.complex else "dtype"
    if text.number:
        if text.code == "0":
            return f"torch.zeros({shape}, dtype={dtype}, device=device)"
        return f"torch.full({shape}, {text.code}, dtype={dtype}, device=device)"
    return f"{printer.aligned(state.start, state.var.axes, ATOM)}.to({dtype}).expand({shape})"
