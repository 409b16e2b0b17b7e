"""Symbol: what users hold. One or more outputs of a graph, changed by nothing but its own `_set_attr`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from .compose import Call, make_node, n_outputs, parse, pick_state, renamed, replace_variables
from .dtypes import canonical, to_numpy
from .errors import GraphError, NotImplementedForSymbol, UnknownArgumentError, near
from .expr import PICK, Node, children, origin, pick, toposort
from .forms import op_of
from .listing import (
    Inferred,
    by_kind,
    check_names,
    complete,
    debug_text,
    given_values,
    list_variables,
    output_name,
    reference,
    summary,
    text_attrs,
)
from .looking.symbols import LookAtSymbol
from .names import checked_attrs
from .operators import Operators

if TYPE_CHECKING:
    from .executor import Executor
    from .infer import Types


class Symbol(Operators, LookAtSymbol):
    """Outputs of a graph of ops: of one node, or of several (a group).

    >>> from symopt import sym
    >>> step = sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.1, name="fc1")
    >>> step.list_arguments(), step.list_outputs()
    (['w', 'g'], ['fc1_output'])
    """

    __slots__ = ("__weakref__", "_outputs")

    def __init__(self, outputs: tuple[Node, ...]) -> None:
        self._outputs = outputs

    def _op(self, op: str, hint: str, /, *args: Any, **kwargs: Any) -> Symbol:
        return make(op, hint, *args, **kwargs)

    @property
    def name(self) -> str | None:
        """The node's name; None for a group."""
        return self._outputs[0].name if len(self._outputs) == 1 else None

    def attr(self, key: str) -> str | None:
        """One attribute as a string; None if there is none."""
        attrs = self.list_attr()
        return attrs.get(key, attrs.get(f"__{key}__"))

    def list_attr(self, recursive: bool = False) -> dict[str, str]:
        """The node's attributes as strings. Recursive: of the whole graph, as `<node>_<key>`."""
        if recursive:
            return {f"{name}_{k}": v for name, attrs in self.attr_dict().items() for k, v in attrs.items()}
        return text_attrs(self._outputs[0]) if len(self._outputs) == 1 else {}

    def attr_dict(self) -> dict[str, dict[str, str]]:
        """The attributes of every node of the graph that has any, by node."""
        nodes = (node for node in toposort(self._outputs, children) if node.op != PICK)
        return {node.name: attrs for node in nodes if (attrs := text_attrs(node))}

    def _set_attr(self, **attrs: str) -> None:
        """Give this Symbol's node more string attributes, or set the op's own ones from strings.

        Nodes are immutable: the Symbol gets a new node. Symbols made from it earlier keep the old one.
        """
        node, index = origin(self._single("_set_attr"))
        new: dict[str, Any] = dict(checked_attrs(attrs))
        if not node.is_variable:
            op = op_of(node)
            call = Call(op, node.name, node.where)
            new = {k: parse(call, op.attrs[k], v) if k in op.attrs else v for k, v in new.items()}
        made = Node(node.op, node.inputs, {**node.attrs, **new}, node.name, node.where)
        self._outputs = (pick(made, index),)

    def list_arguments(self) -> list[str]:
        """Names of the variables that are read only or written by out=, depth first."""
        return [node.name for node in list_variables(self._outputs).arguments]

    def list_auxiliary_states(self) -> list[str]:
        """Names of the variables that ops update as states."""
        return [node.name for node in list_variables(self._outputs).auxiliary]

    def list_inputs(self) -> list[str]:
        """Names of all variables, depth first."""
        return [node.name for node in list_variables(self._outputs).inputs]

    def list_outputs(self) -> list[str]:
        """Names of the outputs: `<node>_output`, `<node>_<state>`, or a variable's name."""
        return [output_name(node) for node in self._outputs]

    def get_internals(self) -> Symbol:
        """A group of every node's output, inputs first."""
        unique = {origin(node): node for node in toposort(self._outputs, children)}
        return Symbol(tuple(unique.values()))

    def get_children(self) -> Symbol | None:
        """A group of the inputs of the outputs' nodes; None for variables."""
        inputs = tuple(child for node in self._outputs for child in origin(node)[0].inputs)
        return Symbol(inputs) if inputs else None

    def state(self, name: str) -> Symbol:
        """The new value of a state of this update node, to be read by other nodes or updated once more."""
        nodes = {origin(node)[0] for node in self._outputs}
        node = nodes.pop() if len(nodes) == 1 else self._single("state")
        return Symbol((pick_state(node, name),))

    def __len__(self) -> int:
        return len(self._outputs)

    def __iter__(self) -> Iterator[Symbol]:
        return (Symbol((node,)) for node in self._outputs)

    def __getitem__(self, index: int | str | slice) -> Symbol:
        """An output by index or name, or a group of those in a slice."""
        if isinstance(index, slice):
            return group([Symbol((node,)) for node in self._outputs[index]])
        if isinstance(index, str):
            names = self.list_outputs()
            if names.count(index) != 1:
                found = "several outputs are" if index in names else "no output is"
                raise GraphError(f"{found} called {index!r}{near(index, set(names) - {index})}")
            index = names.index(index)
        if not isinstance(index, int):
            raise TypeError(f"outputs are chosen by int, name or slice, not {type(index).__name__}")
        if not -len(self._outputs) <= index < len(self._outputs):
            raise IndexError(f"output {index} of a Symbol with {len(self._outputs)} outputs")
        return Symbol((self._outputs[index],))

    def __call__(self, *args: Symbol, name: str | None = None, **kwargs: Symbol) -> Symbol:
        """A copy with free variables replaced, in the order of list_arguments or by name; `name` renames it.

        >>> from symopt import sym
        >>> (sym.var("a") + sym.var("b"))(b=sym.sqrt(sym.var("x"))).list_arguments()
        ['a', 'x']
        """
        named = {key: _composed(value) for key, value in kwargs.items()}
        outputs = replace_variables(self._outputs, [_composed(value) for value in args], named)
        return Symbol(outputs if name is None else (renamed(Symbol(outputs)._single("renaming"), name),))

    def infer_shape(self, *args: Any, **kwargs: Any) -> Inferred:
        """Shapes of (arguments, outputs, states), lists of tuples, from those given by position or name.

        (None, None, None) and a warning if some cannot be known. ShapeError if they do not fit.
        """
        return complete("shape", self._outputs, self._infer_shapes(args, kwargs, partial=False))

    def infer_shape_partial(self, *args: Any, **kwargs: Any) -> Inferred:
        """As infer_shape, with None for what does not follow (-1 for a dimension)."""
        return self._infer_shapes(args, kwargs, partial=True)

    def _infer_shapes(self, args: Sequence[Any], kwargs: Mapping[str, Any], partial: bool) -> Inferred:
        shapes = {k: _shape(v) for k, v in given_values(self._outputs, "infer_shape", args, kwargs).items()}
        return by_kind(self._outputs, self._infer(shapes, partial=partial).shape)

    def infer_type(self, *args: Any, **kwargs: Any) -> Inferred:
        """Types of (arguments, outputs, states), as numpy.float32 etc.; None three times if not all known."""
        return complete("type", self._outputs, self.infer_type_partial(*args, **kwargs))

    def infer_type_partial(self, *args: Any, **kwargs: Any) -> Inferred:
        """As infer_type, with None for what is not known."""
        given = given_values(self._outputs, "infer_type", args, kwargs)
        types = self._infer({}, {k: canonical(v) for k, v in given.items()})
        return by_kind(self._outputs, lambda n: (name := types.dtype(n)) and to_numpy(name).type)

    def infer_storage_type(self, *args: Any, **kwargs: Any) -> Inferred:
        """Storage of (arguments, outputs, states): "default" or "row_sparse"."""
        given = given_values(self._outputs, "infer_storage_type", args, kwargs)
        return by_kind(self._outputs, self._infer({}, None, given).stype)

    def _infer(self, *given: Any, partial: bool = True) -> Types:
        from .infer import infer

        return infer(self._outputs, *given, partial=partial)

    def debug_str(self) -> str:
        """Every node with its inputs and attributes, as MXNet writes it."""
        return debug_text(self._outputs)

    def __str__(self) -> str:
        return summary(self._outputs)

    def __repr__(self) -> str:
        if len(self._outputs) == 1:
            return f"<Symbol {reference(self._outputs[0])}>"
        return f"<Symbol group [{', '.join(reference(node) for node in self._outputs)}]>"

    def tojson(self) -> str:
        """The graph in MXNet's JSON format."""
        from .serial import tojson

        return tojson(self)

    def save(self, fname: str | PathLike[str]) -> None:
        """Write the JSON to a file; sym.load reads it."""
        with open(fname, "w", encoding="utf-8") as file:
            file.write(self.tojson())

    def __reduce__(self) -> tuple[Callable[[str], Symbol], tuple[str]]:
        from .serial import load_json

        return load_json, (self.tojson(),)

    def __copy__(self) -> Symbol:
        """Another Symbol of the same outputs; nodes are immutable and therefore shared."""
        return Symbol(self._outputs)

    def __deepcopy__(self, memo: object) -> Symbol:
        return Symbol(self._outputs)

    def bind(
        self,
        ctx: Any = None,
        args: Any = None,
        args_grad: Any = None,
        grad_req: Any = "null",
        aux_states: Any = None,
        group2ctx: Any = None,
        shared_exec: Any = None,
        engine: str = "auto",
        capture: bool = False,
        nan_guard: Literal["raise", "skip"] | None = None,
    ) -> Executor:
        """An Executor of this graph on your arrays, which it updates in place.

        `args` and `aux_states` are dicts by name or lists in the order of list_arguments and
        list_auxiliary_states. `ctx`, so.cpu() or so.gpu(i), is where they are. `engine`: "auto", "reference" (NumPy,
        slow and obvious), or on the CPU "native" and "emulator" (the CUDA text, run by the processor). `capture`, on a
        GPU: record the launches of a step once and replay them, which costs the host less. `nan_guard`: what is done
        about a step that stores nan or inf: "raise" a NonFiniteError after it, or "skip" it, which leaves every array
        and number as it was. MXNet's grad_req, group2ctx and shared_exec are accepted and have no effect.
        """
        _refuse_gradients(grad_req, args_grad)
        from .executor import bind

        return bind(self, ctx, args, aux_states, engine, capture, nan_guard)

    def simple_bind(
        self,
        ctx: Any = None,
        grad_req: Any = "null",
        type_dict: Any = None,
        stype_dict: Any = None,
        engine: str = "auto",
        capture: bool = False,
        nan_guard: Literal["raise", "skip"] | None = None,
        **shapes: Any,
    ) -> Executor:
        """An Executor on arrays of zeros that it allocates on `ctx`, of the given and inferred shapes; see bind."""
        _refuse_gradients(grad_req, None)
        from .executor import simple_bind

        return simple_bind(self, ctx, type_dict, stype_dict, engine, capture, nan_guard, shapes)

    def eval(self, ctx: Any = None, engine: str = "auto", **arrays: Any) -> list[Any]:
        """Bind to these arrays, run once, and return the outputs. States and out= arrays are updated."""
        aux = set(self.list_auxiliary_states())
        check_names("eval", arrays, self.list_inputs())
        states = {k: v for k, v in arrays.items() if k in aux}
        args = {k: v for k, v in arrays.items() if k not in aux}
        outputs: list[Any] = self.bind(ctx, args, aux_states=states, engine=engine).forward()
        return outputs

    def _single(self, what: str) -> Node:
        if len(self._outputs) != 1:
            raise GraphError(f"{what} needs a Symbol of one output, not a group of {len(self._outputs)}")
        return self._outputs[0]


def make(
    op: str, hint: str, /, *args: Any, name: Any = None, attr: Any = None, out: Any = None, **kwargs: Any
) -> Symbol:
    """A Symbol of one new node, with the weights of an op of several tensors as its outputs; `hint` names it when it
    is given no name. See compose.make_node."""
    node = make_node(op, hint, args, kwargs, name, attr, out)
    return Symbol(tuple(pick(node, k) for k in range(n_outputs(node))))


def group(symbols: Sequence[Symbol]) -> Symbol:
    """A Symbol of all outputs of several."""
    is_list = isinstance(symbols, (list, tuple)) and all(isinstance(s, Symbol) for s in symbols)
    if not is_list or not symbols:
        raise UnknownArgumentError(f"a group is made of a list of one Symbol or more, got {symbols!r}")
    return Symbol(tuple(node for s in symbols for node in s._outputs))


def _composed(value: Any) -> Node:
    if not isinstance(value, Symbol):
        raise UnknownArgumentError(f"compose with Symbols, got {type(value).__name__}")
    return value._single("composition")


def _shape(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _refuse_gradients(grad_req: Any, args_grad: Any) -> None:
    requests = [grad_req] if isinstance(grad_req, str) else grad_req or ()
    requests = list(requests.values() if isinstance(requests, Mapping) else requests)
    if args_grad or any(request not in ("null", "write") for request in requests):
        raise NotImplementedForSymbol("there are no gradients to write: give them as arrays to update ops")
