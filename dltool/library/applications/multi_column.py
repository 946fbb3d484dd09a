"""A multi-column deep neural network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dltool.library.applications._committee import CommitteeModel, MeanProbability
from dltool.library.layers._wiring import apply, checked, copied

LAYER_ARGUMENTS = ("column", "columns", "preprocessing")  # read by recipe/declarations.py


def MultiColumn(  # noqa: N802, as Keras's own architectures
    input_shape: Sequence[int],
    column: Sequence[Any] | None = None,
    preprocessing: Sequence[Sequence[Any]] | None = None,
    columns: Sequence[Sequence[Any]] | None = None,
) -> Any:
    """Nets with different preprocessing and initial weights whose probabilities are averaged; outputs are logits.

                preprocessing 1 - column - logits 1
        image - preprocessing 2 - column - logits 2 - log of the mean probability
                preprocessing 3 - column - logits 3

    In training the columns' losses are added: since they share no weights, this is training each alone. Layers that
    distort images in training may stand in the columns, where each draws its own.

    Args:
        input_shape: (rows, columns, channels).
        column: layers of a column, the last one giving logits; each column has a copy with weights of its own.
        preprocessing: for each column the layers before it; an empty list leaves the image unchanged.
        columns: in place of `column` and `preprocessing`, each column's layers.
    Returns:
        A Keras model, (batch, rows, columns, channels) -> (batch, classes), of models `column_1`, `column_2`, ...; its
        metrics `accuracy_1`, `accuracy_2`, ... are each column's own.
    Raises:
        ValueError: no list of columns, a layer that is adapted to data, or columns that do not give logits of the
            same classes.
    Limits: the model opens only where dltool is installed. All columns train equally long.
    Reference: Ciresan, Meier & Schmidhuber, 2012, Multi-column deep neural networks for image classification, fig. 1.
    """
    paths = _paths(column, preprocessing, columns)
    for path in paths:
        for layer in path:
            if hasattr(layer, "adapt") and getattr(layer, "input_mean", None) is None:
                raise ValueError(f"{type(layer).__name__} is adapted to the data, which a column's layers are not. "
                                 "Give it its state (mean and variance), or use Rescaling.")  # fmt: skip
    inputs = keras.Input(tuple(input_shape))
    logits = [_net(path, inputs.shape[1:], number)(inputs) for number, path in enumerate(paths)]
    shapes = {tuple(output.shape) for output in logits}
    if len(shapes) > 1 or len(logits[0].shape) != 2:
        found = ", ".join(str(tuple(output.shape[1:])) for output in logits)
        raise ValueError(f"MultiColumn's columns must give logits of the same classes. Got outputs of shape {found}.")
    average = MeanProbability(name="average")(logits)
    return CommitteeModel(inputs, [average, *logits], name="multi_column")


def _net(path: Sequence[Any], shape: Sequence[int], number: int) -> Any:
    """Return a column as a model of its own, so that its layers stand together."""
    x = keras.Input(tuple(shape))
    return keras.Model(x, apply(path, x, "columns", number), name=f"column_{number + 1}")


def _paths(column: Any, preprocessing: Any, columns: Any) -> list[list[Any]]:
    """Return each column's layers."""
    if (column is None) == (columns is None):
        raise ValueError("MultiColumn takes either 'column' with 'preprocessing', or 'columns'.")
    argument, lists = ("columns", columns) if column is None else ("preprocessing", preprocessing)
    if not isinstance(lists, list | tuple) or len(lists) < 2 or not all(isinstance(one, list | tuple) for one in lists):
        raise ValueError(
            f"The '{argument}' parameter of MultiColumn must be two or more lists of layers. Got {lists!r}."
        )
    own = [checked("MultiColumn", f"{argument}[{number}]", one) for number, one in enumerate(lists)]
    if column is None:
        return own
    first = checked("MultiColumn", "column", column)
    return [[*before, *copied(first)] for before in own]
