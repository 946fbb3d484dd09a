"""Loss and metrics of a model over a pipeline, in one compiled loop."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dltool.pipelines.base import Pipeline
from dltool.procedures import recurrent_state


class Evaluation:
    """As `keras.Model.evaluate`, traced once for a model and reused.

    Args:
        model: a compiled model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.renew()

    def renew(self) -> None:
        """Trace anew at the next run: what is traced holds the layers that then were trainable."""
        model = self.model

        def step(x: Any, y: Any) -> tf.Tensor:
            model.test_step((x, y))
            return tf.constant(0.0)  # a loss that is not finite is a result here, no reason to stop

        def step_by_target(x: Any, y: Any) -> tf.Tensor:
            predicted = model(x, training=False)
            loss = model.compute_loss(x, y, predicted, None, training=False)
            model._loss_tracker.update_state(loss, sample_weight=tf.cast(tf.size(y), tf.float32))
            model.compute_metrics(x, y, predicted, None)
            return tf.constant(0.0)

        self._step, self._step_by_target = step, step_by_target

    def run(self, pipeline: Pipeline, steps: int | None = None) -> dict[str, float]:
        """Figures by name, "loss" first, over all batches or the first `steps`; layers with a state begin without."""
        self.model.reset_metrics()
        recurrent_state.reset(self.model)
        step = self._step_by_target if pipeline.by_target else self._step
        epoch = pipeline.epoch(step, pipeline.order())
        epoch.advance(0, min(steps or pipeline.steps, pipeline.steps))
        figures = figures_of(self.model)
        self.model.reset_metrics()
        recurrent_state.reset(self.model)
        return figures


def figures_of(model: Any) -> dict[str, float]:
    """The model's loss and metrics as they stand; a metric that gives several values is left out."""
    results = model.get_metrics_result()
    return {name: float(value) for name, value in results.items() if getattr(value, "shape", ()) in ((), None)}
