"""The calls that a model makes, in order, nested models opened; any can be watched or replaced as they run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from dltool.graph import keras_internals

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation; a layer that is shared has several.

    Args:
        path: the layer's name below the names of the models that hold it: "encoder/conv2d_3".
        layer: the layer.
        sources: for each input tensor the number of the call that gave it, None for an input of the model.
        input_shapes, output_shapes: with the batch axis, as None.
        first: whether it is the layer's first call; its parameters count once.
        output_types: names of the outputs' types, such as "float32".
        node: Keras's record of the call, which knows its arguments.
        takes, gives: places of its input and output tensors. A model's inputs have the first places, from 0.
    """

    path: str
    layer: Any
    sources: tuple[int | None, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    first: bool
    output_types: tuple[str, ...] = ()
    node: Any = None
    takes: tuple[int, ...] = ()
    gives: tuple[int, ...] = ()

    @property
    def shape(self) -> Shape:
        """The shape of the (first) output, with the batch axis."""
        return self.output_shapes[0]


def calls(model: Any) -> list[Call]:
    """Return the calls of a Sequential or functional model, inputs before what needs them, without input layers.

    Raises:
        ValueError: the model is of another kind, so that its graph is not known.
    """
    return _Walk(model).calls


class Unrolled:
    """The calls of a Sequential or functional model, to be run without touching the model.

    Weights are read from the model whenever `run` is, so a compiled function of `run` follows them when they change.

    Args:
        model: a built Sequential or functional model with one input; of several outputs the first counts.
    Raises:
        ValueError: the model is of another kind, so that its graph is not known, or has several inputs.
    """

    def __init__(self, model: Any) -> None:
        walk = _Walk(model)
        if len(walk.inputs) != 1:
            raise ValueError(f"Only models with one input can be looked into. Got {len(walk.inputs)} inputs.")
        self.steps, self.input_shape, self.output = walk.calls, walk.inputs[0], walk.outputs[0]

    def number(self, path: str) -> int:
        """Return the number of the first call of a layer.

        Raises:
            ValueError: no layer has this path.
        """
        for number, step in enumerate(self.steps):
            if step.path == path:
                return number
        raise ValueError(f"no layer '{path}'. The model has {', '.join(step.path for step in self.steps)}.")

    def giver(self, place: int) -> int | None:
        """Return the number of the step whose output lies at a place; None for the model's input."""
        return next((number for number, step in enumerate(self.steps) if place in step.gives), None)

    def needed(self, places: Sequence[int]) -> set[int]:
        """Return the numbers of the steps that must run for the values at some places."""
        wanted, numbers = set(places), set()
        for number in reversed(range(len(self.steps))):
            if wanted.intersection(self.steps[number].gives):
                numbers.add(number)
                wanted.update(self.steps[number].takes)
        return numbers

    def run(
        self,
        x: Any,
        places: Sequence[int],
        stand_ins: Mapping[int, Callable[..., Any]] | None = None,
        training: bool | None = False,
    ) -> list[Any]:
        """Return the values at places for an input; only what they need is computed.

        Args:
            x: a batch of inputs, (n, ...), or a symbolic tensor of it.
            places: as `Call.gives` and `output` name them; 0 is the input.
            stand_ins: number of a step -> what is called in place of its layer.
            training: for layers that behave otherwise in training; None leaves it to the layers.
        """
        stand_ins = stand_ins or {}
        values = {0: x}
        for number in sorted(self.needed(places)):
            step = self.steps[number]
            arguments = dict(zip(map(id, step.node.input_tensors), (values[s] for s in step.takes), strict=True))
            args, kwargs = step.node.arguments.fill_in(arguments)
            if training is not None and keras_internals.takes_training(step.layer):
                kwargs = {**kwargs, "training": training}
            outputs = keras.tree.flatten(stand_ins.get(number, step.layer)(*args, **kwargs))
            values |= dict(zip(step.gives, outputs, strict=True))
        return [values[place] for place in places]


def with_activation(layer: Any, activation: Callable[[Any], Any]) -> Any:
    """Return a layer's twin that shares its weights and has another activation; the layer itself stays the same."""
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__)
    twin.__dict__["activation"] = activation  # past Keras's tracking, which would note it on the layer as well
    return twin


def activation_of(layer: Any) -> Callable[[Any], Any] | None:
    """Return the activation argument of a layer; None where it has none that can be replaced alone."""
    return vars(layer).get("activation")


class _Walk:
    """The calls of a model gathered.

    Args:
        model: a Sequential or functional model.
    Raises:
        ValueError: the model is of another kind.
    """

    def __init__(self, model: Any) -> None:
        graph = keras_internals.graph_of(model)
        if graph is None:
            kind = type(model).__name__
            raise ValueError(f"The graph of a {kind} is not known: it is no built Sequential or functional model.")
        self.calls: list[Call] = []
        self.inputs: list[Shape] = [tuple(tensor.shape) for tensor in graph.inputs]
        self._givers: list[int | None] = [None] * len(self.inputs)  # place -> the number of the call that fills it
        self._seen: set[int] = set()
        self.outputs = self._append(graph, "", list(range(len(self.inputs))))  # their places

    def _append(self, graph: Any, prefix: str, inputs: Sequence[int]) -> list[int]:
        """Append the calls of a graph whose inputs lie at some places; return the places of its outputs."""
        places = dict(zip(map(id, graph.inputs), inputs, strict=True))  # id of a symbolic tensor -> its place
        for node in keras_internals.nodes(graph):
            takes = [places[id(tensor)] for tensor in node.input_tensors]
            path = f"{prefix}{node.operation.name}"
            inner = keras_internals.graph_of(node.operation)
            gives = self._add(path, node, takes) if inner is None else self._append(inner, f"{path}/", takes)
            places |= dict(zip(map(id, node.outputs), gives, strict=True))
        return [places[id(tensor)] for tensor in graph.outputs]

    def _add(self, path: str, node: Any, takes: Sequence[int]) -> list[int]:
        """Add a call; return the places of its outputs."""
        gives = list(range(len(self._givers), len(self._givers) + len(node.outputs)))
        self._givers += [len(self.calls)] * len(gives)
        self.calls.append(
            Call(
                path,
                node.operation,
                tuple(self._givers[place] for place in takes),
                tuple(tuple(tensor.shape) for tensor in node.input_tensors),
                tuple(tuple(tensor.shape) for tensor in node.outputs),
                id(node.operation) not in self._seen,
                tuple(str(tensor.dtype) for tensor in node.outputs),
                node,
                tuple(takes),
                tuple(gives),
            )
        )
        self._seen.add(id(node.operation))
        return gives
