"""A model's graph unrolled into a straight list of layer calls, any of which can be watched or replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation.

    Args:
        path: the layer's name below the names of the models that hold it: "encoder/conv2d_3".
        layer: the layer.
        node: Keras's record of the call, which knows its arguments.
        sources: where the values of the call's symbolic arguments lie.
        results: where its outputs go.
    """

    path: str
    layer: Any
    node: Any
    sources: tuple[int, ...]
    results: tuple[int, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the (first) output, with the batch axis."""
        return tuple(self.node.outputs[0].shape)


class Unrolled:
    """The calls of a Sequential or functional model in order, nested models opened, run without touching the model.

    The numbering is that of `diagnostics.calls`. Weights are read from the model whenever `run` is, so a compiled
    function of `run` follows them when they change.

    Args:
        model: a built Sequential or functional model with one input; of several outputs the first counts.
    Raises:
        ValueError: the model is of another kind, so that its graph is not known, or has several inputs.
    """

    def __init__(self, model: Any) -> None:
        graph = _graph(model)
        if graph is None:
            kind = type(model).__name__
            raise ValueError(f"The graph of a {kind} is not known: it is no built Sequential or functional model.")
        if len(graph.inputs) != 1:
            raise ValueError(f"Only models with one input can be looked into. Got {len(graph.inputs)} inputs.")
        self.steps: list[Step] = []
        self._places = 1  # place 0 holds the input
        self.input_shape = tuple(graph.inputs[0].shape)
        self.output = self._append(graph, "", {id(graph.inputs[0]): 0})[0]

    def _append(self, graph: Any, prefix: str, known: dict[int, int]) -> list[int]:
        """Add the steps of a graph; the places of its outputs."""
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                sources = tuple(known[id(tensor)] for tensor in node.input_tensors)
                path = f"{prefix}{node.operation.name}"
                inner = _graph(node.operation)
                if inner is not None:
                    results = self._append(inner, f"{path}/", dict(zip(map(id, inner.inputs), sources, strict=True)))
                else:
                    results = list(range(self._places, self._places + len(node.outputs)))
                    self._places += len(results)
                    self.steps.append(Step(path, node.operation, node, sources, tuple(results)))
                known |= dict(zip(map(id, node.outputs), results, strict=True))
        return [known[id(tensor)] for tensor in graph.outputs]

    def number(self, path: str) -> int:
        """The number of the first call of a layer.

        Raises:
            ValueError: no layer is called so.
        """
        for number, step in enumerate(self.steps):
            if step.path == path:
                return number
        raise ValueError(f"no layer '{path}'. The model has {', '.join(step.path for step in self.steps)}.")

    def giver(self, place: int) -> int | None:
        """The number of the step whose output lies at a place; None for the model's input."""
        return next((number for number, step in enumerate(self.steps) if place in step.results), None)

    def needed(self, places: Sequence[int]) -> set[int]:
        """Numbers of the steps that must run for the values at some places."""
        wanted, numbers = set(places), set()
        for number in reversed(range(len(self.steps))):
            if wanted.intersection(self.steps[number].results):
                numbers.add(number)
                wanted.update(self.steps[number].sources)
        return numbers

    def run(
        self, x: Any, places: Sequence[int], stand_ins: Mapping[int, Callable[..., Any]] | None = None
    ) -> list[Any]:
        """The values at places for an input, at inference; only what they need is computed.

        Args:
            x: a batch of inputs, (n, ...).
            places: as `Step.results` and `output` name them; 0 is the input.
            stand_ins: number of a step -> what is called in place of its layer.
        """
        stand_ins = stand_ins or {}
        values = {0: x}
        for number in sorted(self.needed(places)):
            step = self.steps[number]
            arguments = dict(zip(map(id, step.node.input_tensors), (values[s] for s in step.sources), strict=True))
            args, kwargs = step.node.arguments.fill_in(arguments)
            if "training" in getattr(step.layer, "_call_context_args", {}):
                kwargs = {**kwargs, "training": False}
            outputs = keras.tree.flatten(stand_ins.get(number, step.layer)(*args, **kwargs))
            values |= dict(zip(step.results, outputs, strict=True))
        return [values[place] for place in places]


def with_activation(layer: Any, activation: Callable[[Any], Any]) -> Any:
    """A layer's twin that shares its weights and has another activation; the layer itself stays as it is."""
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__)
    twin.__dict__["activation"] = activation  # past Keras's tracking, which would note it on the layer as well
    return twin


def activation_of(layer: Any) -> Callable[[Any], Any] | None:
    """The activation argument of a layer; None where it has none that can be replaced alone."""
    return vars(layer).get("activation")


def _graph(layer: Any) -> Any | None:
    """The graph of a model or nested model, None of a layer."""
    if isinstance(layer, keras.Sequential):
        return layer._functional
    return layer if hasattr(layer, "_nodes_by_depth") else None
