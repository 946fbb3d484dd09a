"""A recipe's list of layers as a Keras model: each called in turn, on what the one before gives or on named inputs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dltool.data.facts import input_shapes, is_table
from dltool.errors import Problem, RecipeError
from dltool.library.layers._wiring import Composite
from dltool.recipe import adaptation, feature_columns, wiring
from dltool.recipe.builder import Builder
from dltool.recipe.values import Value, join, object_name
from dltool.recipe.wiring import INPUT, Entry
from dltool.tasks import base as tasks

FEATURE_SPACE = "FeatureSpace"
NUMERIC, TEXT, WHOLE = "float32", "string", "int64"


def build(builder: Builder, root: Value, facts: Mapping[str, Any], batches: Callable[[], Any] | None, name: str) -> Any:
    """Return the model of a recipe's list of layers; what does not fit is reported at its own line.

    Args:
        batches: gives a tf.data.Dataset of batches of training inputs, for `adapt`; None: nothing is adapted.
        name: of the model.
    Returns:
        A Sequential where nothing but layers follow each other, else a functional model of ordinary Keras layers.
    Raises:
        RecipeError: layers, data and wiring do not fit.
    """
    value = root["model"]
    entries = wiring.entries(value)
    layers = builder.layers(entries)
    builder.finish()
    if (message := tasks.of(facts).problem_of_layers()) is not None:
        raise RecipeError([Problem(value.place, "model", message)])
    builder.problems += wiring.check_names(root, input_names(facts), list(facts.get("targets", ())))
    builder.finish()
    graph = _Graph(builder, entries, layers, facts, batches)
    for index, layer in enumerate(layers):
        graph.call(index, layer)
    outputs = graph.outputs(wiring.outputs(root))
    return graph.model(outputs, value, name, wiring.is_wired(root))


def input_names(facts: Mapping[str, Any]) -> list[str]:
    """Return the names by which layers read the data: arrays, columns, or `INPUT` where they are one array."""
    return list(facts.get("inputs") or facts.get("features") or [INPUT])


def locate(value: Value, path: str, keys: Sequence[str | int]) -> tuple[Value, str]:
    """Return the layer inside a composite that `keys` lead to, with its place in the recipe."""
    for key in keys:
        if isinstance(key, str):
            name = object_name(value)
            body = value.data[name] if name is not None and value.is_mapping else value
            inner = body.get(key)
            value, path = (body, path) if inner is None else (inner, f"{path}.{key}")
        elif value.is_list:
            value, path = value.data[key], f"{path}[{key}]"
            path = join(path, object_name(value)) if object_name(value) else path
    return value, path


class _Graph:
    """A model while its layers are called.

    Args:
        batches: as of `build`.
    """

    def __init__(
        self,
        builder: Builder,
        entries: Sequence[Entry],
        layers: Sequence[Any],
        facts: Mapping[str, Any],
        batches: Callable[[], Any] | None,
    ) -> None:
        import keras

        self.builder, self.entries, self.layers, self.facts, self.batches = builder, entries, layers, facts, batches
        self.inputs: Any  # what the model takes: a tensor, or a dict by the names of arrays or columns
        self.is_table, shapes = is_table(facts), input_shapes(facts)
        if self.is_table:
            self._check_first()
            self.inputs = self._columns()
        elif shapes:
            names = feature_columns.layer_names(shapes)
            self.inputs = {name: keras.Input(tuple(shapes[name]), name=names[name]) for name in shapes}
        else:
            shape, dtype = tuple(facts["input_shape"]), facts.get("input_dtype", "float32")
            self.inputs = keras.Input(shape, batch_size=facts.get("rows"), dtype=dtype)
        self.known: dict[str, Any] = dict(self.inputs) if isinstance(self.inputs, dict) else {INPUT: self.inputs}
        self.last: Any = self.inputs  # what the layer before gave

    def call(self, index: int, layer: Any) -> None:
        """Call a layer, which must fit what it reads; adapt it before if it is to be."""
        import keras

        entry = self.entries[index]
        if isinstance(layer, keras.utils.FeatureSpace):
            if not self.is_table:
                self._fail(entry, "encodes the columns of a table; these data are arrays. Remove it.")
            self.last = layer.get_encoded_features()
            self.known |= {} if entry.name is None else {entry.name: self.last}
            return
        if hasattr(layer, "mix"):
            self._fail(entry, "mixes examples and their targets, which a model can't: put it in data.augment")
        value, path, read = entry.value, entry.path, self._read(entry)
        if self.batches is not None and hasattr(layer, "adapt") and not adaptation.has_given_state(value):
            before = None if read is self.inputs else functools.partial(self._until(read), training=False)
            adapt = functools.partial(adaptation.adapt_to, layer, before, self.batches)
            adaptation.run_adapt(self.builder, adapt, value, path)
        spread = entry.is_list and _takes_apart(layer, len(entry.names))
        call = functools.partial(layer, *read) if spread else functools.partial(layer, read)
        try:
            self.last = call()
        except Exception as error:  # of Keras: reported at the innermost layer that the recipe names
            value, path = locate(value, path, getattr(error, "wired", []))
            self.last = self.builder.attempt(call, value, path)
            self.builder.finish()
        if entry.name is not None:
            if not self.builder.takes_name(entry):
                self.last = keras.layers.Identity(name=entry.name)(self.last)
            self.known[entry.name] = self.last

    def outputs(self, names: Sequence[str] | None) -> Any:
        """Return what the model gives: a tensor, or a dict by the names of the layers that give them."""
        import keras

        from dltool.graph import keras_internals

        if names is None:
            return self.last
        tensors = {}
        for name in names:
            tensor = self.known[name]
            if not isinstance(tensor, keras.KerasTensor):
                entry = next(one for one in self.entries if one.name == name)
                self._fail(entry, "gives several tensors, and an output is one. Name another layer.")
            if keras_internals.node_of(tensor).operation.name != name:  # a nested model, say
                tensor = keras.layers.Identity(name=f"{name}_output")(tensor)
            tensors[name] = tensor
        return tensors if len(tensors) > 1 else tensors[names[0]]

    def model(self, outputs: Any, value: Value, name: str, is_wired: bool) -> Any:
        """Return the model from the data's inputs to its outputs."""
        import keras

        if isinstance(self.inputs, dict):
            return feature_columns.model(self.inputs, outputs, name)
        built = self.builder.attempt(lambda: keras.Model(self.inputs, outputs, name=name), value, "model")
        self.builder.finish()  # two layers of one name
        if not is_wired and all(isinstance(layer, keras.layers.Layer) for layer in self.layers):
            return keras.Sequential([self.inputs, *self.layers], name=name)
        return built

    def _read(self, entry: Entry) -> Any:
        """Return the tensor, or tensors, that a layer reads."""
        if entry.inputs is not None:
            tensors = [self.known[name] for name in entry.names]
            return tensors if entry.is_list else tensors[0]
        if isinstance(self.last, dict):
            listed = ", ".join(list(self.last)[:10]) + (", ..." if len(self.last) > 10 else "")
            self._fail(entry, f"the data have several inputs: {listed}. Say with inputs which of them it reads.")
        return self.last

    def _until(self, tensors: Any) -> Any:
        """Return the model so far, from the data's inputs to tensors."""
        import keras

        if isinstance(self.inputs, dict):
            return feature_columns.model(self.inputs, tensors, "until_here")
        return keras.Model(self.inputs, tensors)

    def _check_first(self) -> None:
        """Raise if the first layer of a table's model neither encodes columns nor names them."""
        import keras

        entry, layer = self.entries[0], self.layers[0]
        if isinstance(layer, keras.utils.FeatureSpace) or entry.inputs is not None:
            return
        message = f"the data are columns of a table: begin the model with - {FEATURE_SPACE}: ${{data.features}}"
        raise RecipeError([Problem(entry.place, entry.at, message)])

    def _columns(self) -> dict[str, Any]:
        """Adapt each FeatureSpace; return an input for each column, those of a FeatureSpace as it made them."""
        import keras

        found: dict[str, Any] = {}
        kinds: Mapping[str, str] = self.facts["features"]
        for entry, layer in zip(self.entries, self.layers, strict=True):
            if not isinstance(layer, keras.utils.FeatureSpace):
                continue
            if entry.inputs is not None:
                self._fail(entry, "reads the columns of its features. Remove inputs.")
            if self.batches is None:
                raise RecipeError([Problem(entry.place, entry.path, "takes its shape from the data")])
            columns = functools.partial(adaptation.adapt_columns, layer, self.batches)
            adaptation.run_adapt(self.builder, columns, entry.value, entry.path)
            own = feature_columns.inputs(layer)
            if twice := [column for column in own if column in found]:
                self._fail(entry, f"column '{twice[0]}' is encoded by another FeatureSpace already. Name it in one.")
            found |= own
        names = feature_columns.layer_names(kinds)
        for column, kind in kinds.items():
            if column not in found:
                dtype = NUMERIC if kind.startswith("float") else TEXT if kind.startswith("string") else WHOLE
                found[column] = keras.Input((1,), dtype=dtype, name=names[column])
        return found

    def _fail(self, entry: Entry, message: str) -> Any:
        raise RecipeError([Problem(entry.place, entry.path, message)])


def _takes_apart(layer: Any, count: int) -> bool:
    """Return whether a layer takes its inputs as arguments of their own, as MultiHeadAttention its query and value."""
    call = layer.__call__ if isinstance(layer, Composite) else getattr(layer, "call", None)
    if call is None or count < 2:
        return False
    parameters = inspect.signature(call).parameters.values()
    required = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    return len(required) > 1
