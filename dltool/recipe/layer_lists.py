"""A recipe's list of layers changed throughout: initialisers, activations, batch normalisation, depth, width."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from dltool.recipe import builder, catalogue
from dltool.recipe.declarations import layer_arguments
from dltool.recipe.values import Value, object_name

# The recurrent kernel is left as it is: it has a theory of its own (orthogonal, Saxe et al., 2014).
KERNEL_INITIALIZERS = ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")
WEIGHTS = (*KERNEL_INITIALIZERS, "embeddings_initializer")
SIZES = ("units", "filters")
BATCH_NORM = "BatchNormalization"
WIRES = ("name", "inputs")  # by which layers are wired
STANDALONE = ".layers.activations."  # where Keras keeps the layers that are activations

Layers = tuple[Value, ...]


@dataclass(frozen=True)
class Layer:
    """A layer as a recipe writes it.

    Args:
        name: the class's name.
        arguments: what is given, the first argument by its name too.
        allowed: the class's parameters.
        module: where the class stands.
        value: what the recipe says.
    """

    name: str
    arguments: Mapping[str, Value]
    allowed: Mapping[str, Any]
    module: str
    value: Value

    @classmethod
    def of(cls, value: Value) -> Layer | None:
        """The layer that a value names; None where it names none, which building the model will tell of."""
        name = object_name(value)
        try:
            target = None if name is None else catalogue.find("layers", name)
        except catalogue.UnknownNameError:
            return None
        if name is None or target is None:
            return None
        allowed = builder.parameters(target)
        body = value.data[name] if value.is_mapping else None
        if body is None or body.data is None:
            arguments: Mapping[str, Value] = {}
        elif builder.is_keywords("layers", body, allowed):
            arguments = body.data
        elif allowed:
            arguments = {next(iter(allowed)): body}
        else:
            return None
        return cls(name, arguments, allowed, target.__module__, value)

    def given(self, **arguments: Value | None) -> Layer:
        """The layer with these arguments in place of those of the same name; None takes one away."""
        merged = {**self.arguments, **arguments}
        return replace(self, arguments={key: value for key, value in merged.items() if value is not None})

    def written(self) -> Value:
        """The layer as a recipe's value, at the place where the recipe has it."""
        body = self.value.data[next(iter(self.value.data))] if self.value.is_mapping else self.value
        if not self.arguments:
            return replace(self.value, data=self.name)
        inner = Value(MappingProxyType(dict(self.arguments)), body.place, body.key or self.value.place)
        return replace(self.value, data=MappingProxyType({self.name: inner}))

    def is_named(self, names: Collection[str]) -> bool:
        """Return whether the recipe gives it one of these names."""
        name = self.arguments.get("name")
        return name is not None and name.data in names

    @property
    def activation(self) -> Value | None:
        """The activation it applies itself, None where it is linear."""
        given = self.arguments.get("activation")
        return None if given is None or given.data in (None, "linear") else given

    @property
    def is_activation(self) -> bool:
        """Return whether it is an activation and nothing else. A softmax, which attends or answers, does not count."""
        soft = self.name == "Softmax" or (self.activation is not None and self.activation.data == "softmax")
        return STANDALONE in self.module and not soft

    @property
    def is_linear_map(self) -> bool:
        """Return whether it is a linear map with its own activation: Dense, Conv2D, ..., nothing recurrent."""
        own = {"activation", "use_bias"} <= self.allowed.keys() and not {"recurrent_initializer"} & self.allowed.keys()
        return own and any(key in self.allowed for key in KERNEL_INITIALIZERS)


def hidden(layers: Layers) -> tuple[Layers, Layers]:
    """The list cut before its output layer: the last one with weights, unless it is a repeated one."""
    for index in range(len(layers) - 1, -1, -1):
        if any(key in layer.allowed for layer in every(layers[index]) for key in WEIGHTS):
            return (layers, ()) if object_name(layers[index]) == "Repeat" else (layers[:index], layers[index:])
    return layers, ()


def every(value: Value) -> Iterator[Layer]:
    """The layer that a value names and those inside it."""
    layer = Layer.of(value)
    if layer is not None:
        yield layer
        for key in layer_arguments() & layer.arguments.keys():
            yield from every(layer.arguments[key])
    elif value.is_list:
        for item in value.data:
            yield from every(item)


def changed(value: Value, change: Callable[[Layer], Layer | None]) -> Value:
    """A layer, or a list of layers, with `change` applied to each; where it gives None the layers inside follow."""
    if value.is_list:
        return replace(value, data=tuple(changed(item, change) for item in value.data))
    layer = Layer.of(value)
    if layer is None:
        return value
    new = change(layer)
    if new is not None:
        return new.written()
    inner = {key: changed(layer.arguments[key], change) for key in layer_arguments() & layer.arguments.keys()}
    return layer.given(**inner).written() if any(inner[key] is not layer.arguments[key] for key in inner) else value


def relisted(value: Value, change: Callable[[Layers], Sequence[Value]]) -> Value:
    """A list of layers with `change` applied to it and to the lists inside."""
    if value.is_list:
        return replace(value, data=tuple(change(tuple(relisted(item, change) for item in value.data))))
    layer = Layer.of(value)
    inner = {} if layer is None else {
        key: relisted(layer.arguments[key], change) for key in layer_arguments() & layer.arguments.keys()
    }  # fmt: skip
    return value if layer is None or not inner else layer.given(**inner).written()


# -- changes: each gives the layer changed, or None where it does not apply ------------------------------


def initialised(layer: Layer, initializer: Value) -> Layer | None:
    keys = [key for key in KERNEL_INITIALIZERS if key in layer.allowed]
    return layer.given(**dict.fromkeys(keys, initializer)) if keys else None


def activated(layer: Layer, activation: Value) -> Layer | None:
    """With another activation where it has one, given or by default; a layer that is linear stays so."""
    if layer.is_activation:
        named = {key: layer.arguments[key] for key in ("name",) if key in layer.arguments}
        return replace(layer, name="Activation", arguments={"activation": activation, **named})
    if STANDALONE in layer.module or "activation" not in layer.allowed:
        return None
    by_default = "activation" not in layer.arguments and layer.allowed["activation"].default is not None
    return layer.given(activation=activation) if by_default or layer.activation is not None else None


def resized(layer: Layer, size: Value) -> Layer | None:
    """With another number of units or filters, where the recipe gives a number."""
    for key in SIZES:
        if key in layer.allowed and key in layer.arguments and isinstance(layer.arguments[key].data, int):
            return layer.given(**{key: size})
    return None


def repeated(layer: Layer, times: Value) -> Layer | None:
    return layer.given(times=times) if layer.name == "Repeat" else None


def normalised(layers: Layers, outputs: Collection[str] = (), read: Collection[str] = ()) -> list[Value]:
    """With a batch normalisation between each linear map and its activation: z = g(BN(W u + b)), slide 93.

    Args:
        outputs: names of layers that give the model's outputs and stay as they are.
        read: names that other layers read, which the activation then has.
    """
    found: list[Value] = []
    for index, value in enumerate(layers):
        layer = Layer.of(value)
        following = Layer.of(layers[index + 1]) if index + 1 < len(layers) else None
        found.append(value)
        if layer is None or not layer.is_linear_map or (following is not None and following.name == BATCH_NORM):
            continue
        if layer.is_named(outputs):
            continue
        norm = Value(BATCH_NORM, value.place)
        if layer.activation is not None:
            linear, nonlinear = (
                layer.given(activation=None),
                Value(MappingProxyType({"Activation": layer.activation}), value.place),
            )
            if layer.is_named(read):
                own = MappingProxyType({"activation": layer.activation, "name": layer.arguments["name"]})
                nonlinear = Value(MappingProxyType({"Activation": Value(own, value.place)}), value.place)
                linear = linear.given(name=None)
            found[-1:] = [linear.written(), norm, nonlinear]
        elif following is not None and following.is_activation and "inputs" not in following.arguments:
            found.append(norm)
    return found


def unnormalised(layers: Layers) -> list[Value]:
    """Without batch normalisations; a layer before one that left the bias to it has its own again."""
    found: list[Value] = []
    for value in layers:
        if object_name(value) != BATCH_NORM:
            found.append(value)
            continue
        norm, before = Layer.of(value), Layer.of(found[-1]) if found else None
        if before is not None and "use_bias" in before.arguments and before.arguments["use_bias"].data is False:
            found[-1] = before.given(use_bias=None).written()
        wires = {} if norm is None else {key: norm.arguments[key] for key in WIRES if key in norm.arguments}
        if norm is not None and wires:  # other layers name it, or it names others
            found.append(replace(norm, name="Identity", arguments=wires).written())
    return found


def longest_run(layers: Layers) -> tuple[int, int, int] | None:
    """Return where a block of layers with weights repeats most often: (start, layers per block, times).

    The longest such stretch, of equal ones the one with the shortest block, then the first; None if there is none.
    """
    plain = [layer.plain() for layer in layers]
    best: tuple[int, int, int] | None = None
    for size in range(1, len(layers) // 2 + 1):
        for start in range(len(layers) - 2 * size + 1):
            times = 1
            while plain[start + times * size : start + (times + 1) * size] == plain[start : start + size]:
                times += 1
            weighted = any(key in layer.allowed for v in layers[start : start + size] for layer in every(v) for key in WEIGHTS)  # fmt: skip # noqa: E501
            if times > 1 and weighted and (best is None or times * size > best[1] * best[2]):
                best = (start, size, times)
    return best
