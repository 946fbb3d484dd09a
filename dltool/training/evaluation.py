"""Loss and metrics of a model over a pipeline, in one compiled loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Pipeline
from dltool.graph import recurrent_state
from dltool.training.counting import count


class Evaluation:
    """As `keras.Model.evaluate`, but weighing what figures count (`counting`); traced once for a model and reused.

    Args:
        model: a compiled model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.renew()

    def renew(self) -> None:
        """Trace again at the next run: a trace holds the layers that were trainable at the time."""
        model = self.model

        def step(x: Any, y: Any) -> tf.Tensor:
            model.test_step((x, y))
            return tf.constant(0.0)  # a loss that is not finite is a result here, no reason to stop

        count(model)
        self._step = step

    def run(self, pipeline: Pipeline, steps: int | None = None) -> dict[str, float]:
        """Return figures by name, "loss" first, over all batches or the first `steps`.

        Layers with a state start without it.
        """
        self.model.reset_metrics()
        with recurrent_state.aside(self.model):
            epoch = pipeline.epoch(self._step, pipeline.order())
            epoch.advance(0, min(steps or pipeline.steps, pipeline.steps))
        figures = figures_of(self.model)
        self.model.reset_metrics()
        return figures


def figures_of(model: Any) -> dict[str, float]:
    """Return the model's current loss and metrics, without metrics of several values."""
    results = {name: np.asarray(value) for name, value in model.get_metrics_result().items()}
    return {name: float(value.reshape(())) for name, value in results.items() if value.size == 1}
