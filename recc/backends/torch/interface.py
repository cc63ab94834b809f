"""The end of an emitted module: its specification for the runtime, and the functions that a user calls."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass, replace

from recc.backends.cpu.module import NativeText
from recc.backends.torch.estimate import print_estimate
from recc.backends.torch.names import harmless, public_name
from recc.backends.torch.program import PrintedProgram
from recc.backends.torch.promises import promised
from recc.ir.nodes import Recurrence, Var
from recc.passes.cost import PassCost


@dataclass(frozen=True)
class Choices:
    """What the compiler decided: the default method and backend, why there is no scan and no convolution (if so), what
    `explain` says."""

    method: str
    backend: str
    refusal: str
    no_convolution: str
    explanation: str


def print_interface(
    recurrence: Recurrence, programs: dict[str, PrintedProgram], choices: Choices, native: NativeText
) -> str:
    """Named tuples, the specification, the callable with `step`, `initial_state` and `explain`."""
    outputs = tuple(item.var for item in recurrence.outputs)
    states = tuple(state.var for state in recurrence.states)
    title = "".join(part.capitalize() for part in recurrence.name.split("_"))
    parts = [_named_tuple(f"{title}Outputs", outputs, "outputs"), _named_tuple(f"{title}State", states, "states")]
    parts.append(print_estimate(pass_costs(programs, native), dict(recurrence.sizes)))
    parts.append(f"EXPLANATION = {_literal(choices.explanation)}")
    parts.append(_spec(recurrence, programs, title, choices, native))
    parts += [_function(recurrence, choices), _step(recurrence), _initial_state(recurrence)]
    name = recurrence.name
    parts.append(
        f"{name}.step = _step\n{name}.initial_state = _initial_state\n{name}.explain = lambda: EXPLANATION\n"
        f'__all__ = ["{name}"]'
    )
    bar = "# " + "-" * 76
    return f"{bar}\n# Interface\n{bar}\n\n\n" + "\n\n\n".join(part for part in parts if part)


def _named_tuple(name: str, variables: tuple[Var, ...], what: str) -> str:
    if len(variables) == 1:
        return ""
    fields = "\n".join(f"    {public_name(var.name)}: Tensor" for var in variables)
    return f'class {name}(NamedTuple):\n    """The {what}, in order of declaration."""\n\n{fields}'


def pass_costs(programs: dict[str, PrintedProgram], native: NativeText) -> tuple[PassCost, PassCost]:
    """What a step costs forwards, and backwards with the states that are computed again."""
    primal, adjoint = programs["primal"].cost, programs["adjoint"].cost
    forward, backward = native.costs if native.costs is not None else (None, None)
    return replace(primal, native=forward), replace(adjoint.after_replay(primal), native=backward)


def _spec(
    recurrence: Recurrence, programs: dict[str, PrintedProgram], title: str, choices: Choices, native: NativeText
) -> str:
    ports = {
        "inputs": recurrence.inputs,
        "params": recurrence.params,
        "states": tuple(state.var for state in recurrence.states),
        "outputs": tuple(item.var for item in recurrence.outputs),
    }
    lines = [
        f"        {kind}=({''.join(_port(var) + ', ' for var in variables).rstrip()}),"
        for kind, variables in ports.items()
    ]
    signature = "\n".join([f'        name="{recurrence.name}",', *lines, f"        sizes={dict(recurrence.sizes)!r},"])
    rest = [textwrap.indent(f"{name}={programs[name].value},", "    ") for name in ("primal", "adjoint", "tangent")]
    rest += ["    start=start,", '    key="KEY",']
    if len(ports["outputs"]) > 1:
        rest.append(f"    outputs_type={title}Outputs,")
    if len(ports["states"]) > 1:
        rest.append(f"    states_type={title}State,")
    if choices.refusal:
        rest.append(f"    refusal={_literal(choices.refusal)},")
    if choices.no_convolution:
        rest.append(f"    no_convolution={_literal(choices.no_convolution)},")
    if programs["primal"].convolved:
        rest.append("    convolver=CONVOLVER,")
    rest.append("    cost=estimate,")
    if native.source:
        functions = "choose_native, solve_natively, run_forward, run_backward, step_natively"
        more = f", divisible={native.divisible!r}" if native.divisible else ""
        more += f", blocks=True, outer={native.outer!r}" if native.blocks else ""
        more += ", group=group_lanes" if native.lanes else ""
        more += f", kept={native.kept!r}" if native.kept else ""
        more += f", missed={native.missed!r}, report=report_missed" if any(native.missed) else ""
        more += ", sharing=SHARING" if native.shared else ""
        rest.append(f"    native=Native(NATIVE, {native.sizes!r}, {functions}{more}),")
    elif native.reason:
        rest.append(f"    no_native={_literal(native.reason)},")
    tests = promised(recurrence)
    if tests:
        texts = ", ".join(_literal(text) for text, _ in tests)
        rest.append(f"    promises=(({texts},), promises),")
    return (
        f"SPEC = Spec(\n    signature=Signature(\n{signature}\n    ),\n"
        + "\n".join(rest)
        + "\n)\nregister_operator(SPEC)"
    )


def _port(var: Var) -> str:
    axes = ", ".join(f'"{size}"' if isinstance(size, str) else str(size) for size in var.sizes)
    return f'Port("{var.name}", ({axes}{"," if len(var.sizes) == 1 else ""}){", True" if var.complex else ""})'


def _literal(text: str) -> str:
    """A string literal, over several lines if the text has several."""
    if "\n" not in text:
        return repr(text)
    lines = "\n".join(f"    {line + chr(10)!r}" for line in text.rstrip("\n").split("\n"))
    return f"(\n{lines}\n)"


def _shapes(variables: tuple[Var, ...], leading: str) -> list[str]:
    lines = []
    for var in variables:
        axes = "".join(f", {size}" for size in var.sizes)
        lines.append(f"        {public_name(var.name)}: ({leading}{axes}){', complex' if var.complex else ''}")
    return lines


def _function(recurrence: Recurrence, choices: Choices) -> str:
    arguments = [public_name(var.name) for var in recurrence.inputs + recurrence.params]
    given = ", ".join(arguments)
    inputs = "".join(f"{public_name(var.name)}, " for var in recurrence.inputs)
    params = "".join(f"{public_name(var.name)}, " for var in recurrence.params)
    options = (
        "initial_state=None,\n    output_final_state=False,\n    cu_seqlens=None,\n    reverse=False,\n"
        f'    method="{choices.method}",\n    backend="{choices.backend}",'
    )
    doc = _documentation(recurrence)
    return (
        f"def {recurrence.name}(\n    {given},\n    *,\n    {options}\n):\n{doc}\n"
        f"    return call(\n        SPEC, ({inputs.rstrip()}), ({params.rstrip()}),\n"
        "        initial_state, output_final_state, cu_seqlens, reverse, method, backend,\n    )"
    )


def _documentation(recurrence: Recurrence) -> str:
    about = inspect.cleandoc(recurrence.doc) if recurrence.doc else f"The recurrence {recurrence.name}."
    lines = [*harmless(about).splitlines(), "", "Inputs, with lanes that broadcast:"]
    lines += [line[4:] for line in _shapes(recurrence.inputs, "B, T, *lanes")]
    if recurrence.params:
        lines += ["Params, constant in time, also with a batch dimension in front:"]
        lines += [line[4:] for line in _shapes(recurrence.params, "*lanes")]
    outputs = tuple(item.var for item in recurrence.outputs)
    states = tuple(state.var for state in recurrence.states)
    lines += ["Returns the outputs, and the final states or None:"]
    lines += [line[4:] for line in _shapes(outputs, "B, T, *lanes")]
    lines += [line[4:] for line in _shapes(states, "B, *lanes")]
    lines += [
        "",
        "`initial_state` is what `output_final_state=True` returned before, or `initial_state(...)`. Packed sequences",
        "are `(1, total, ...)` with their boundaries `cu_seqlens`, N + 1 whole numbers from 0 to total. `reverse`",
        "runs from the last step to the first. Raises ValueError or TypeError for arguments that do not fit.",
    ]
    body = "\n".join(f"    {line}".rstrip() for line in lines)
    return f'    """{body.lstrip()}\n    """'


def _step(recurrence: Recurrence) -> str:
    given = ", ".join(public_name(var.name) for var in recurrence.inputs + recurrence.params)
    inputs = "".join(f"{public_name(var.name)}, " for var in recurrence.inputs)
    params = "".join(f"{public_name(var.name)}, " for var in recurrence.params)
    return (
        f"def _step(state, {given}):\n"
        '    """One token: inputs (B, *lanes, ...) without time; returns the outputs and the new state."""\n'
        f"    return step_call(SPEC, state, ({inputs.rstrip()}), ({params.rstrip()}))"
    )


def _initial_state(recurrence: Recurrence) -> str:
    known = dict(recurrence.sizes)
    sizes = dict.fromkeys(
        size for state in recurrence.states for size in state.var.sizes if isinstance(size, str) and size not in known
    )
    params = [public_name(var.name) for var in recurrence.params]
    optional = "".join(f"{name}=None, " for name in [*params, *sizes])
    given = "{" + ", ".join(f'"{size}": {size}' for size in sizes) + "}"
    values = "".join(f"{name}, " for name in params)
    return (
        f"def _initial_state(batch_size, lanes=(), *, {optional}dtype=torch.float32, device=None):\n"
        '    """The state before the first step, (batch_size, *lanes, ...); other axes are given by size."""\n'
        f"    sizes = {{size: number for size, number in {given}.items() if number is not None}}\n"
        f"    return initial_state(SPEC, batch_size, lanes, sizes, ({values.rstrip()}), dtype, device)"
    )
