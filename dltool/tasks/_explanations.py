"""How layers came to an answer: what those with a method `explain` give for each example, as columns of answers.

`layer.explain(inputs)` takes the layer's input, or the list of them, and returns numbers of an example, each (batch,),
by their names; it may be called with Keras's symbolic tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import UsageError
from dltool.tasks import _outputs

if TYPE_CHECKING:
    from dltool.tasks.base import Question

Explain = Callable[[Any], dict[str, np.ndarray]]  # of examples


def explainer(question: Question) -> Explain:
    """Return a function of examples that gives the columns LAYER_NAME; without columns if none are asked for.

    Raises:
        UsageError: several runs answer, or no layer explains anything.
    """
    if not question.asked.explain:
        return lambda x: {}
    if len(question.models) > 1:
        raise UsageError("--explain: takes one run, whose layers explain themselves. Leave it out, or name one run.")
    import keras

    model = question.models[0]
    found = {
        f"{layer.name}_{name}": values
        for layer in model.layers
        if hasattr(layer, "explain")
        for name, values in layer.explain(layer.input).items()
    }
    if not found:
        raise UsageError("--explain: no layer of the model explains itself, as SpatialTransformer does. Leave it out.")
    inner = keras.Model(model.inputs, list(found.values()))
    columns = question.facts.get("features")

    def explain(x: Any) -> dict[str, np.ndarray]:
        values = _outputs.outputs_of(inner, x, columns)
        return {name: np.asarray(one, np.float32) for name, one in zip(found, values, strict=True)}

    return explain
