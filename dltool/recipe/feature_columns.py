"""Columns of any name in a Keras model: Keras's `FeatureSpace` names layers after them, which limits names.

A model's inputs are a dict by the columns' own names; the names of layers are made of them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

ALLOWED = re.compile(r"[A-Za-z0-9_.>-]+")  # in names of TensorFlow's scopes, which layers become
LOOKUPS = ("StringLookup", "IntegerLookup")


def layer_names(columns: Iterable[str]) -> dict[str, str]:
    """Column -> a distinct name that Keras and TensorFlow take for a layer, the column's own where that is one."""
    columns = list(columns)
    taken = {column for column in columns if ALLOWED.fullmatch(column)}
    found = {}
    for column in columns:
        name = column
        if name not in taken:
            stem = re.sub(r"[^A-Za-z0-9_.>-]", "_", column)
            name, number = stem, 1
            while name in taken:
                number += 1
                name = f"{stem}_{number}"
            taken.add(name)
        found[column] = name
    return found


def feature_space(make: Callable[..., Any], features: Any = None, crosses: Any = None, **arguments: Any) -> Any:
    """A `FeatureSpace` of columns of any name; `columns` of it maps them to the names that it knows.

    Args:
        make: the class.
        features, crosses, arguments: those of the class, by the columns' own names.
    Raises:
        ValueError: as the class.
    """
    if not isinstance(features, Mapping):
        return make(features, crosses=crosses, **arguments)
    names = layer_names(map(str, features))
    known = {names[str(column)]: kind for column, kind in features.items()}
    crosses = _crosses(crosses, names)
    for cross in crosses if isinstance(crosses, list) else ():
        for column, name in names.items() if isinstance(cross, tuple) else ():
            if name in cross and str(known[name]).startswith("float"):
                raise ValueError(f"crosses: column '{column}' holds numbers, and only categories can be crossed")
    space = make(known, crosses=crosses, **arguments)
    space.columns = names
    for column, name in names.items():
        if "/" not in column:  # no part of a scope, unlike the names of the layers that compute
            _rename(space.inputs[name], column)
    return space


def _rename(tensor: Any, name: str) -> None:
    """Give a model's input another name."""
    from dltool.graph import keras_internals

    keras_internals.rename_tensor(tensor, name)


def _crosses(crosses: Any, names: Mapping[str, str]) -> Any:
    """Return crosses of columns, by layer names; leave other values to Keras, which refuses them."""
    if not isinstance(crosses, Sequence) or isinstance(crosses, str):
        return crosses
    return [
        tuple(names.get(str(column), column) for column in cross) if isinstance(cross, list | tuple) else cross
        for cross in crosses
    ]


def inputs(space: Any) -> dict[str, Any]:
    """Column -> the model's input."""
    found = space.get_inputs()
    return {column: found[name] for column, name in space.columns.items()}


def adapt(space: Any, batches: Any) -> None:
    """Adapt a `FeatureSpace` to a tf.data.Dataset of batches by the columns' own names."""
    space.adapt(batches.map(lambda x: {name: x[column] for column, name in space.columns.items()}))


def model(inputs: Mapping[str, Any], outputs: Any, name: str) -> Any:
    """The functional model of a table; an input whose column is called like another layer gets another name."""
    import keras

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "When providing `inputs` as a dict, all keys in the dict must match")
        try:
            return keras.Model(dict(inputs), outputs, name=name)
        except ValueError as error:
            clashes = [tensor for tensor in inputs.values() if f'"{tensor.name}"' in str(error)]
            if not clashes:
                raise
    for tensor in clashes:
        _rename(tensor, f"{tensor.name}_column")
    return model(inputs, outputs, name)


def categories(model: Any) -> dict[str, list[Any]]:
    """Column -> the categories that a model's training saw; of columns that it does not keep them for, nothing.

    Among whole numbers -1 always counts as seen: Keras uses it for the unknown, and drops it from the vocabulary.
    """
    tensors = getattr(model, "input", None)
    if not isinstance(tensors, Mapping):
        return {}
    lookups = {
        layer.input.name: [*layer.get_vocabulary(include_special_tokens=False), *_own_unknown(layer)]
        for layer in model.layers
        if type(layer).__name__ in LOOKUPS
    }
    return {
        column: [value.item() if hasattr(value, "item") else value for value in lookups[tensor.name]]
        for column, tensor in tensors.items()
        if tensor.name in lookups
    }


def _own_unknown(lookup: Any) -> list[int]:
    """The whole number that a lookup takes for the unknown one, though it may be a category of the data."""
    return [lookup.oov_token] if type(lookup).__name__ == "IntegerLookup" else []
