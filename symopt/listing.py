"""Questions about a user's graph: its variables and outputs, their names, its attributes, its text."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import MissingArgumentError, UnknownArgumentError, near
from .expr import PICK, Node, children, origin, toposort
from .forms import op_of
from .names import HIDDEN_KEYS

MAX_LINES = 10  # of a printed group
Inferred = tuple[list[Any] | None, list[Any] | None, list[Any] | None]


class Variables(NamedTuple):
    """The variables of a graph, each in order of first visit; `inputs` are both kinds."""

    arguments: list[Node]
    auxiliary: list[Node]
    inputs: list[Node]
    order: list[Node]  # every node of the graph, inputs first


def list_variables(roots: Sequence[Node]) -> Variables:
    """The variables under `roots`. Those fed to a state input are auxiliary, whoever else reads them."""
    order = toposort(roots, children)
    ops = ((node, op_of(node)) for node in order if node.inputs and node.op != PICK)
    updated = {node.inputs[k] for node, op in ops for k in op.state_positions}
    inputs = [node for node in order if node.is_variable]
    arguments = [node for node in inputs if node not in updated]
    return Variables(arguments, [node for node in inputs if node in updated], inputs, order)


def given_values(
    roots: Sequence[Node], what: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Values given for variables, in the order of the arguments or by name, as a dict without the Nones."""
    if args and kwargs:
        raise MissingArgumentError(f"{what} takes values by position or by name, not both")
    variables = list_variables(roots)
    if len(args) > len(variables.arguments):
        raise UnknownArgumentError(f"{what} got {len(args)} values for {len(variables.arguments)} arguments")
    check_names(what, kwargs, [node.name for node in variables.inputs])
    given = dict(zip([node.name for node in variables.arguments], args, strict=False)) or kwargs
    return {name: value for name, value in given.items() if value is not None}


def check_names(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """UnknownArgumentError unless all names are known ones."""
    allowed = set(known)
    for name in names:
        if name not in allowed:
            raise UnknownArgumentError(f"{what}: the graph has no variable {name!r}{near(name, allowed)}")


def by_kind(roots: Sequence[Node], value: Callable[[Node], Any]) -> Inferred:
    """A value of each node: of the arguments, the outputs and the auxiliary states."""
    arguments, auxiliary, *_ = list_variables(roots)
    return [value(n) for n in arguments], [value(n) for n in roots], [value(n) for n in auxiliary]


def complete(what: str, roots: Sequence[Node], found: Inferred) -> Inferred:
    """`found`, or three times None and a warning that names the variables in doubt."""
    assert found[0] is not None and found[1] is not None and found[2] is not None
    if all(_is_known(value) for values in found for value in values or ()):
        return found
    arguments, auxiliary, *_ = list_variables(roots)
    pairs = zip([*arguments, *auxiliary], [*found[0], *found[2]], strict=True)
    missing = ", ".join(node.name for node, value in pairs if not _is_known(value))
    warnings.warn(
        f"cannot decide the {what} of {missing or 'the outputs'}: give more", UserWarning, stacklevel=3
    )
    return None, None, None


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, tuple) and -1 in value)


def output_name(node: Node) -> str:
    """`<name>_output`, `<name>_<state>` for the new value of a state, or a variable's own name."""
    if node.is_variable:
        return node.name
    op_node, index = origin(node)
    return f"{op_node.name}_{op_of(op_node).outputs[index]}"


def text_attrs(node: Node) -> dict[str, str]:
    """The attributes of a node as MXNet shows them: strings, and hidden keys under both spellings."""
    attrs = {}
    for key, value in origin(node)[0].attrs.items():
        if key == "__out__":
            value = value[0].name if len(value) == 1 else tuple(out.name for out in value)
        attrs[key] = str(value)
        if key[2:-2] in HIDDEN_KEYS:
            attrs[key[2:-2]] = str(value)
    return attrs


def summary(outputs: Sequence[Node]) -> str:
    """A line for each output; of a large group, the first few and how many more there are."""
    lines = [summary_line(node) for node in outputs[:MAX_LINES]]
    more = len(outputs) - MAX_LINES
    return "\n".join(lines + ([f"... and {more} more outputs"] if more > 0 else []))


def summary_line(node: Node) -> str:
    """One line: `fc1 = adam_update(w, g, m, v, lr=0.1, out=w)`."""
    if node.is_variable:
        given = "".join(f", {key}={value!r}" for key, value in node.attrs.items())
        return f"{node.name} = var({node.name!r}{given})"
    op_node, index = origin(node)
    scalars = op_node.attrs.get("__scalars__", ())
    count = len(op_node.inputs) - len(scalars)
    parts = [reference(child) for child in op_node.inputs[:count]]
    parts += [f"{key}={reference(child)}" for key, child in zip(scalars, op_node.inputs[count:], strict=True)]
    parts += [f"{key}={value}" for key, value in op_node.attrs.items() if not key.startswith("__")]
    parts += [f"out={out.name}" for out in op_node.attrs.get("__out__", ())]
    return f"{reference(node) if index else node.name} = {op_node.op}({', '.join(parts)})"


def reference(node: Node) -> str:
    """How one line of text calls a node: `fc1`, or `fc1.state('mean')` for a picked output."""
    op_node, index = origin(node)
    if not index:
        return node.name
    op = op_of(op_node)
    return (
        f"{op_node.name}[{index}]" if index < op.n_results else f"{op_node.name}.state({op.outputs[index]!r})"
    )


def debug_text(roots: Sequence[Node]) -> str:
    """The whole graph, node by node, in the form of MXNet's debug_str."""
    if len(roots) == 1 and roots[0].is_variable:
        return f"Variable:{roots[0].name}\n"
    lines = ["Symbol Outputs:"]
    for k, root in enumerate(roots):
        op_node, index = origin(root)
        lines.append(f"\toutput[{k}]={op_node.name}({index})")
    versions: dict[Node, tuple[Node, int]] = {}
    for node in toposort(roots, children):
        versions[node] = _version(node, versions)
        if node.is_variable:
            lines.append(f"Variable:{node.name}")
        elif node.op != PICK:
            lines.extend(_debug_lines(node, versions))
    return "\n".join(lines) + "\n"


def _version(node: Node, versions: dict[Node, tuple[Node, int]]) -> tuple[Node, int]:
    """The variable a value of a state is a version of, and how often it was written; else the node itself."""
    if node.op != PICK:
        return node, 0
    op_node, index = origin(node)
    op = op_of(op_node)
    if index < op.n_results:
        return node, 0
    before, count = versions[op_node.inputs[op.like[index]]]
    return before, count + 1


def _debug_lines(node: Node, versions: dict[Node, tuple[Node, int]]) -> Iterator[str]:
    yield "-" * 20
    yield f"Op:{node.op}, Name={node.name}"
    yield "Inputs:"
    for k, child in enumerate(node.inputs):
        source, version = versions[child]
        suffix = f" version={version}" if source.is_variable else ""
        index = 0 if source.is_variable else origin(child)[1]
        yield f"\targ[{k}]={source.name if source.is_variable else child.name}({index}){suffix}"
    attrs = text_attrs(node)
    if attrs:
        yield "Attrs:"
        yield from (f"\t{key}={attrs[key]}" for key in sorted(attrs))
