"""From a call to an op node: which argument is which input or attribute, and what is missing.

Works on nodes; Symbols are only taken apart here, never made. Also replaces free variables of a graph.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from .attrs import REQUIRED, Attr
from .errors import (
    AttributeValueError,
    DTypeError,
    GraphError,
    MissingArgumentError,
    SymoptError,
    UnknownArgumentError,
    UnknownAttributeError,
    Where,
    built_at,
    near,
)
from .expr import PICK, VARIABLE, Node, children, pick, toposort
from .forms import concrete, get_op, op_of, tensors_in
from .listing import given_values, list_variables
from .names import make_name, merged_attrs
from .opdef import OpDef
from .operators import Operators


class Call(NamedTuple):
    """A call under way: what is needed to say where an error is."""

    op: OpDef
    name: str
    where: Where | None

    def fail(self, kind: type[SymoptError], message: str) -> NoReturn:
        raise kind(f"{self.op.name} {self.name!r}: {message}{built_at(self.where)}") from None


def caller() -> Where | None:
    """The user's line: the innermost frame outside symopt. File and line only, so that it costs nothing."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] == "symopt":
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return Where(frame.f_code.co_filename, frame.f_lineno)


def make_node(
    op_name: str,
    hint: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
    out: Any = None,
) -> Node:
    """The node of one call of an op. Inputs by position or name; attributes by name.

    Inputs that are missing become variables `<node>_<input>`. A Symbol given as a numeric attribute is one
    more input. Errors name the op, the node and the user's line.
    """
    where = caller()
    try:
        op = get_op(op_name)
        if name is not None and not isinstance(name, str):
            raise UnknownArgumentError(f"{op_name}: name must be a string, got {name!r}")
        strings = merged_attrs(attr)
    except SymoptError as error:
        raise type(error)(f"{error}{built_at(where)}") from None
    call = Call(op, make_name(name, hint), where)
    rest = dict(kwargs)
    if strings:
        strings = _string_attrs(call, strings, attr)
    call, args = of_so_many(call, args, rest)
    inputs = _inputs(call, args, rest, strings)
    attrs, scalars = _attributes(call, rest)
    attrs.update(strings)
    if scalars:
        attrs["__scalars__"] = tuple(scalars)
        inputs.extend(scalars.values())
    if out is not None:
        attrs["__out__"] = _outs(call, out, inputs)
    return Node(op.name, tuple(inputs), attrs, call.name, where)


def _string_attrs(call: Call, strings: dict[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    for key in given or ():
        if key in call.op.attrs:
            call.fail(
                AttributeValueError, f"{key} is an attribute of the op: give it as a keyword, not in attr="
            )
    return {key if key.startswith("__") else f"__{key}__": value for key, value in strings.items()}


def _inputs(call: Call, args: Sequence[Any], rest: dict[str, Any], strings: dict[str, str]) -> list[Node]:
    """The inputs in order, taking those given by name out of `rest` and surplus attributes into it."""
    op = call.op
    if len(args) > len(op.inputs):
        _positional_attributes(call, args[len(op.inputs) :], rest)
    nodes = []
    for k, slot in enumerate(op.inputs):
        key = slot.name
        value = rest.pop(key, None)
        if k < len(args) and args[k] is not None:
            if value is not None:
                call.fail(UnknownArgumentError, f"input {key} is given twice, by position and by name")
            value = args[k]
        if value is None:
            nodes.append(Node(VARIABLE, (), strings, f"{call.name}_{key}", call.where))
        else:
            nodes.append(single_node(call, f"input {key}", value))
    return nodes


def _positional_attributes(call: Call, values: Sequence[Any], rest: dict[str, Any]) -> None:
    op = call.op
    if op.is_update or len(values) > len(op.attrs):
        inputs = ", ".join(i.name for i in op.inputs)
        given = len(op.inputs) + len(values)
        call.fail(
            UnknownArgumentError,
            f"takes {len(op.inputs)} inputs ({inputs}), got {given}; attributes are given by keyword",
        )
    for key, value in zip(op.attrs, values, strict=False):
        if key in rest:
            call.fail(UnknownArgumentError, f"attribute {key} is given twice, by position and by name")
        rest[key] = value


def of_so_many(call: Call, args: Sequence[Any], rest: dict[str, Any]) -> tuple[Call, Sequence[Any]]:
    """The call of the op with just as many inputs as are given; the number of tensors is filled in."""
    op = call.op
    if "kahan" in rest and "kahan" in op.attrs:
        rest["kahan"] = parse(call, op.attrs["kahan"], rest["kahan"])
    if not op.is_variadic:
        return call._replace(op=concrete(op, rest, 0)), args
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        args = args[0]
    kahan = bool(rest.get("kahan"))
    shared = [i.name for i in (op.base.inputs if op.base else ()) if i.kind == "scalar"]
    by_name = [n for n in (*shared, *(op.plurals[a] for a in op.preloaded)) if n in rest]
    tensors = tensors_in(op, len(args) + len(by_name), kahan)
    if not tensors:
        call.fail(MissingArgumentError, f"{_per_tensor(op)}, got {len(args)} inputs")
    given = rest.setdefault(op.count, tensors)
    if str(given) != str(tensors):
        call.fail(AttributeValueError, f"{op.count} = {given}, but {tensors} {op.count[4:]} are given")
    return call._replace(op=concrete(op, rest, len(args) + len(by_name))), args


def _per_tensor(op: OpDef) -> str:
    """What an op of any number of tensors takes, in words."""
    if op.base is None:
        return "takes one array or more"
    each = ", ".join(i.name for i in op.base.inputs if i.kind != "scalar")
    last = [i.name for i in op.base.inputs if i.kind == "scalar"] + [op.plurals[a] for a in op.preloaded]
    return f"takes {each} for each tensor" + (f", and then {', '.join(last)}" if last else "")


def single_node(call: Call, what: str, value: Any) -> Node:
    """The node of a Symbol with one output."""
    if not isinstance(value, Operators):
        text = f"{what} must be a Symbol, got {type(value).__name__}"
        call.fail(UnknownArgumentError, f"{text}: make a variable and bind the array to it, or use so.nd")
    if len(value._outputs) != 1:
        text = f"{what} must have one output, got a group of {len(value._outputs)}"
        call.fail(UnknownArgumentError, f"{text}: pick one by index")
    return value._outputs[0]


def _attributes(call: Call, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Node]]:
    """The parsed attributes, and the nodes of those given as Symbols."""
    attrs: dict[str, Any] = {}
    scalars: dict[str, Node] = {}
    for key, value in given.items():
        spec = call.op.attrs.get(key)
        if spec is None:
            _unknown(call, key)
        if isinstance(value, Operators):
            if not spec.is_numeric:
                text = "decides what is computed, so it must be known now and cannot be a Symbol"
                call.fail(AttributeValueError, f"{key} {text}")
            scalars[key] = single_node(call, f"attribute {key}", value)
        else:
            attrs[key] = parse(call, spec, value)
    for key, spec in call.op.attrs.items():
        if spec.length and key not in given and spec.default is not REQUIRED:
            attrs[key] = (spec.default,) * spec.length  # MXNet, which may read the file, knows no default
    if attrs.get("rounding") == "stochastic" and "seed" not in given:
        text = "rounding='stochastic' needs seed=, another number at every step, such as a Symbol that counts them"
        call.fail(MissingArgumentError, text)
    for key, spec in call.op.attrs.items():
        if spec.default is REQUIRED and key not in given:
            call.fail(
                MissingArgumentError, f"attribute {key} is required" + (f" ({spec.doc})" if spec.doc else "")
            )
    return attrs, scalars


def parse(call: Call, spec: Attr, value: Any) -> Any:
    """The attribute's value as its type; errors say which attribute of which node."""
    try:
        return spec.parse(value)
    except DTypeError as error:
        call.fail(DTypeError, f"{spec.name}: {error}")
    except ValueError as error:
        call.fail(AttributeValueError, f"{spec.name} {error}")


def _unknown(call: Call, key: str) -> NoReturn:
    inputs = _per_tensor(call.op) if call.op.is_variadic else ", ".join(call.op.input_names())
    attrs = ", ".join(call.op.attrs) or "none"
    known = (*call.op.attrs, *call.op.input_names())
    message = f"no input or attribute is called {key!r}{near(key, known)}"
    call.fail(UnknownAttributeError, f"{message}\n    inputs: {inputs}\n    attributes: {attrs}")


def n_outputs(node: Node) -> int:
    """How many outputs the Symbol of a new node has: one, or a weight for each tensor, or the states if it has no
    other outputs."""
    op = op_of(node)
    return op.n_results or len(op.outputs)


def _outs(call: Call, out: Any, inputs: Sequence[Node]) -> tuple[Node, ...]:
    count = call.op.n_results
    outs = (out,) if isinstance(out, Operators) and len(out._outputs) == 1 else tuple(out)
    if len(outs) != count:
        call.fail(GraphError, f"out= must be {count} variables, one for each result, got {len(outs)}")
    return tuple(_out(call, one, inputs) for one in outs)


def _out(call: Call, out: Any, inputs: Sequence[Node]) -> Node:
    if not (isinstance(out, Operators) and len(out._outputs) == 1 and out._outputs[0].is_variable):
        call.fail(GraphError, f"out= must be a variable, got {out!r}")
    node = out._outputs[0]
    for k in call.op.state_positions:
        if inputs[k] is node:
            name = call.op.inputs[k].name
            call.fail(GraphError, f"out= is {node.name}, which the op already updates as its {name}")
    return node


def replace_variables(
    roots: Sequence[Node], args: Sequence[Node], kwargs: Mapping[str, Node]
) -> tuple[Node, ...]:
    """The graph with variables replaced, in the order of its arguments or by name."""
    if args and kwargs:
        raise UnknownArgumentError("composition takes Symbols by position or by name, not both")
    given = given_values(roots, "composition", args, kwargs)
    variables = list_variables(roots).inputs
    return substitute(roots, {node: given[node.name] for node in variables if node.name in given})


def substitute(roots: Sequence[Node], new: Mapping[Node, Node]) -> tuple[Node, ...]:
    """The graph with nodes replaced; what does not depend on a replaced node is shared with the old graph."""
    made: dict[Node, Node] = {}
    for node in toposort(roots, children):
        target = new.get(node)
        if target is None and any(made[child] is not child for child in children(node)):
            target = _rebuild(node, made)
        made[node] = node if target is None else target
    return tuple(made[root] for root in roots)


def _rebuild(node: Node, made: Mapping[Node, Node]) -> Node:
    inputs = tuple(made[child] for child in node.inputs)
    attrs = dict(node.attrs)
    if "__out__" in attrs:
        attrs["__out__"] = tuple(made[out] for out in attrs["__out__"])
        for old, out in zip(node.attrs["__out__"], attrs["__out__"], strict=True):
            if not out.is_variable:
                text = f"{node.op} {node.name!r}: out= writes {old.name}, which only a variable can replace"
                raise GraphError(f"{text}, got {out!r}{built_at(node.where)}")
    return Node(node.op, inputs, attrs, node.name, node.where)


def renamed(node: Node, name: str) -> Node:
    """The same op under another name; the same output of it."""
    if node.op == PICK:
        return pick(renamed(node.inputs[0], name), node.attrs["index"])
    return Node(node.op, node.inputs, node.attrs, name, node.where)


def pick_state(node: Node, name: str) -> Node:
    """The new value of a state of an op node; UnknownArgumentError lists the states there are."""
    op = None if node.is_variable else op_of(node)
    states = op.states if op else ()
    if name not in states:
        has = f"its states are {', '.join(states)}" if states else "it updates none"
        text = f"{node.op} {node.name!r} has no state {name!r}{near(str(name), states)}; {has}"
        raise UnknownArgumentError(f"{text}{built_at(node.where)}")
    assert op is not None
    return pick(node, op.n_results + states.index(name))
