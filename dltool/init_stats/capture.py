"""One pass forward and back through any Keras model, with every layer's signals and their gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.graph import keras_internals
from dltool.graph.layer_tree import CELL, COMPOSITE, LEAF, LOOP, MODEL, OPERATION, Part, parts

ROLES = ("input", "before", "after", "gate_before", "gate_after", "output")


@dataclass(eq=False)
class Signal:
    """The signals of a layer in one pass; for a layer inside a loop, of all its calls.

    Args:
        part: the layer.
        path: its path; " (2)" is appended for the second call of a shared layer.
        values: role -> one tensor per call. "before" and "after" are the activation function's input and output,
            "gate_before" and "gate_after" those of a recurrent cell's gates.
        gradients: role -> the loss's gradient with respect to each of `values`, None if it does not exist.
        function: the activation, None if the layer has none.
        source, target: numbers of the input and output tensors, the same for the same tensor.
    """

    part: Part
    path: str
    values: dict[str, list[Any]] = field(default_factory=lambda: {role: [] for role in ROLES})
    gradients: dict[str, list[Any]] = field(default_factory=dict)
    function: Callable[[Any], Any] | None = None
    source: list[int] = field(default_factory=list)
    target: int = 0


@dataclass
class Capture:
    """A pass forward and back.

    Args:
        loss: as training minimises it, penalties included.
        penalty: the part of it that regularisation gives.
        signals: in the order of computation.
        gradients: of the loss with respect to each trainable weight, NumPy or None.
        updates: what one step of the optimizer adds to each trainable weight.
        opaque: numbers of tensors that something else than the signals' layers uses or makes.
        unseen: paths of layers whose signals can't be seen, inside a loop that TensorFlow runs.
        sample_weight: mean weight of an example in the loss.
    """

    loss: float
    penalty: float
    signals: list[Signal]
    gradients: list[np.ndarray | None]
    updates: list[np.ndarray]
    opaque: set[int]
    unseen: list[str]
    sample_weight: float = 1.0


class Recorder:
    """A recorder of the signals in a model's layers; it restores the layers afterwards.

    Args:
        model: any Keras model.
    Limits: within `recording`, recurrent layers are unrolled and cuDNN's fused kernels are off, whose inner signals
        can't be seen. Loops that TensorFlow runs itself (TimeDistributed over unknown lengths) are `unseen`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.parts = parts(model)

    @property
    def is_recurrent(self) -> bool:
        return any(part.kind in (CELL, LOOP) for part in self.parts)

    @contextmanager
    def recording(self) -> Iterator[None]:
        self.signals: list[Signal] = []
        self.opaque: set[int] = set()
        self.unseen: dict[str, None] = {}
        self._kept: list[Any] = []  # a tensor's number is its id: it must not be given to another one
        self._loops: list[object] = []
        self._pooled: dict[tuple[int, int], Signal] = {}
        self._open: dict[int, list[Signal]] = {}
        self._calls: dict[int, int] = {}
        replaced: list[tuple[dict[str, Any], str, Any]] = []
        try:
            for part in self.parts:
                for name, value in self._replacements(part):
                    space = part.layer.__dict__
                    replaced.append((space, name, space.get(name, replaced)))
                    space[name] = value
            yield
        finally:
            for space, name, value in reversed(replaced):
                if value is replaced:  # it was the class's
                    del space[name]
                else:
                    space[name] = value

    def number(self, tensor: Any) -> int:
        self._kept.append(tensor)
        return id(tensor)

    def _replacements(self, part: Part) -> Iterator[tuple[str, Any]]:
        layer = part.layer
        if part.kind == MODEL:
            return
        wrap = {LEAF: self._leaf, CELL: self._leaf, LOOP: self._loop}.get(part.kind, self._hidden)
        yield "call", functools.wraps(layer.call)(wrap(part, layer.call))
        if part.kind == LOOP and isinstance(layer, keras.layers.RNN):
            yield "unroll", True
            if hasattr(layer, "use_cudnn"):
                yield "use_cudnn", False
            yield "inner_loop", functools.partial(type(layer).inner_loop, layer)  # a fused one shows no cell
        if part.kind in (LEAF, CELL):
            for name, role in (("activation", ""), ("recurrent_activation", "gate_")):
                function = layer.__dict__.get(name)
                if callable(function):
                    yield name, functools.wraps(function)(self._activation(part, function, role))

    def _leaf(self, part: Part, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            inputs = [x for x in tf.nest.flatten((args, kwargs)) if _is_float(x)]
            signal = self._signal(part)
            self._open.setdefault(id(part), []).append(signal)
            try:
                outputs = call(*args, **kwargs)
            finally:
                self._open[id(part)].pop()
            floats = [y for y in tf.nest.flatten(outputs) if _is_float(y)]
            if not floats:
                return outputs
            if not all(map(_is_visible, floats)):
                self.unseen[part.path] = None
                return outputs
            signal.source = [self.number(x) for x in inputs]
            signal.target = self.number(floats[0])
            signal.values["input"] += inputs[:1]
            signal.values["output"].append(floats[0])
            unseen_yet = len(signal.values["before"]) < len(signal.values["output"])
            if keras_internals.is_activation_layer(part.layer) and inputs and unseen_yet:
                signal.values["before"].append(inputs[0])
                signal.values["after"].append(floats[0])
                signal.function = call
            if not any(signal is one for one in self.signals):
                self.signals.append(signal)
            return outputs

        return recorded

    def _loop(self, part: Part, call: Callable[..., Any]) -> Callable[..., Any]:
        hidden = self._hidden(part, call)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            self._loops.append(object())
            self._kept.append(self._loops[-1])
            try:
                return hidden(*args, **kwargs)
            finally:
                self._loops.pop()

        return recorded

    def _hidden(self, part: Part, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that marks its inputs as used in hidden ways."""
        assert part.kind in (COMPOSITE, LOOP, OPERATION)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            tensors = [x for x in tf.nest.flatten((args, kwargs)) if tf.is_tensor(x)]
            self.opaque.update(map(self.number, tensors))
            return call(*args, **kwargs)

        return recorded

    def _activation(self, part: Part, function: Callable[..., Any], role: str) -> Callable[..., Any]:
        def recorded(x: Any, *args: Any, **kwargs: Any) -> Any:
            y = function(x, *args, **kwargs)
            open_ = self._open.get(id(part))
            if open_ and _is_float(x) and _is_visible(x) and tf.is_tensor(y):
                open_[-1].values[f"{role}before"].append(x)
                open_[-1].values[f"{role}after"].append(y)
                if not role:
                    open_[-1].function = function
            return y

        return recorded

    def _signal(self, part: Part) -> Signal:
        """Return a signal of its own for each call, but one for all calls within a loop."""
        key = (id(part), id(self._loops[0])) if self._loops else None
        if key is not None and key in self._pooled:
            return self._pooled[key]
        self._calls[id(part)] = number = self._calls.get(id(part), 0) + 1
        signal = Signal(part, part.path if number == 1 else f"{part.path} ({number})")
        if key is not None:
            self._pooled[key] = signal
        return signal


def _is_float(x: Any) -> bool:
    return tf.is_tensor(x) and getattr(x, "dtype", None) is not None and x.dtype.is_floating


def _is_visible(tensor: Any) -> bool:
    """Return whether a tensor belongs to the pass itself, not to a function traced within it."""
    if tf.executing_eagerly():
        return hasattr(tensor, "numpy")
    return getattr(tensor, "graph", None) is tf.compat.v1.get_default_graph()
