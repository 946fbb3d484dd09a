"""Greedy layer-wise pre-training, then fine-tuning of the whole net."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Step
from dltool.errors.wording import first_line
from dltool.graph.calls import Unrolled
from dltool.graph.layer_globs import check_globs, matches
from dltool.library.objectives._base import Objective
from dltool.training.augmentation import augmented_pair
from dltool.training.procedures._procedure import UnfitSetting
from dltool.training.procedures.stages import Stages
from dltool.training.scheduled_optimizer import save_with_rate
from dltool.training.stage_plan import stages_of
from dltool.training.trainable_layers import select_trainable


class Greedy(Stages):
    """Training in stages: one layer after the other learns by an objective of its own, then the whole net by its loss.

    A stage with `layer` is pre-training: this layer alone learns, from what the layers below give for the training
    inputs, without labels. A stage without is gradient descent by compile.loss, as in `Stages`.

        procedure:
          Greedy:
            - {layer: first, objective: {Denoising: 0.1}, epochs: 15, learning_rate: 1e-3}
            - {layer: second, objective: {Denoising: 0.2}, epochs: 15, learning_rate: 1e-3}
            - {epochs: 20}

    Args:
        stages: mappings of
            layer: the one layer that learns, by its name or path (a glob that matches one).
            objective: what it learns, such as Autoencoder.
            decoder: a Dense layer that gets the objective's decoder, transposed weights and their bias, when the stage
                is done; so a deep autoencoder is unrolled.
            trainable: of stages without `layer`: globs of what learns. Defaults to "*".
            epochs: int > 0; fit.epochs is the sum and may be left out.
            learning_rate: a number or a schedule, whose steps count from the start of the stage. Defaults to the
                optimizer's own, likewise counted from 0.
            optimizer: of this stage. Defaults to compile.optimizer; each stage begins with fresh slots.
    Raises:
        ValueError: no stages, an unknown key, a name that fits no layer or several, an objective that does not fit its
            layer, a decoder of another shape or without a bias, mixed_float16, or weights that are averaged (use_ema).
    Limits: rows of pre-training have the objective's figures in place of loss and metrics, and no validation: the
        layers above are untrained then. So only the epochs of fine-tuning are chosen from; without fine-tuning the
        last epoch is kept. Penalties of weights do not act in pre-training; layers below run as at inference.
    Reference: Bengio et al., 2006, Greedy layer-wise training of deep networks; Hinton & Salakhutdinov, 2006, Reducing
        the dimensionality of data with neural networks; lecture slides 86-87.
    """

    def __init__(self, stages: Sequence[Mapping[str, Any]]) -> None:
        found = []
        for index, stage in enumerate(stages_of(stages, "Greedy")):
            if stage.objective is not None and not isinstance(stage.objective, Objective):
                raise ValueError(f"stages[{index}]: 'objective' must be an objective. Got {stage.objective!r}.")
            optimizer = None if stage.optimizer is None else keras.optimizers.get(stage.optimizer)
            found.append(dataclasses.replace(stage, optimizer=optimizer))
        self.stages = found
        self.model: Any = None

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Check the stages on a compiled model, build the objectives and make it ready for its first stage.

        Args:
            steps_per_epoch: batches an epoch, int > 0.
            load, class_names: not needed.
        Raises:
            ValueError: as the class; its attribute `wired` leads to the stage's entry.
        """
        if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError("pre-training does not scale its losses. Set dtype_policy to float32 or mixed_bfloat16.")
        self._unrolled = Unrolled(model)
        super().prepare(model, steps_per_epoch, load, class_names)

    def figures(self) -> dict[str, float]:
        """Loss and metrics of the epoch under way as they stand, in pre-training the objective's figures."""
        if self._objective is None:
            return super().figures()
        return {metric.name: float(metric.result()) for metric in self.metrics}

    def remarks(self) -> list[str]:
        """Return how each layer's objective went, of the epochs in the history."""
        lines = []
        for index, stage in enumerate(self.stages):
            rows = [row for row in getattr(self, "history", ()) if row.get("stage") == index + 1]
            if stage.objective is None or not rows:
                continue
            names = [name for name in stage.objective.FIGURES if name in rows[0]]
            course = ", ".join(f"{name} {rows[0][name]:.4g} to {rows[-1][name]:.4g}" for name in names)
            kind = type(stage.objective).__name__
            lines.append(f"stage {index + 1}: layer {stage.trainable[0]} by {kind}, {course}")
        return lines

    def own_arrays(self) -> dict[str, np.ndarray]:
        own = [] if self._objective is None else self._objective.variables
        arrays = {f"objective/{index}": np.asarray(variable) for index, variable in enumerate(own)}
        return {**super().own_arrays(), **arrays}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue as `Stages.go_on`, from the objective's variables."""
        super().go_on(arrays)
        for index, variable in enumerate([] if self._objective is None else self._objective.variables):
            if (array := arrays.get(f"objective/{index}")) is not None:
                variable.assign(array)

    def fit(self, model: Any, train: Any, validation: Any | None = None, **arguments: Any) -> list[dict[str, float]]:
        """Fit as `Procedure.fit`; a training that ends with pre-training leaves the recipe's optimizer, unused."""
        with warnings.catch_warnings():  # a monitor is checked before: it is missing in rows of pre-training only
            warnings.filterwarnings("ignore", "(?s).*(conditioned on metric|best model only with)")
            history = super().fit(model, train, validation, **arguments)
        if self._objective is not None:
            select_trainable(model, ["*"])
            self._use(self._given, model.trainable_variables)
        return history

    @property
    def _objective(self) -> Any:
        """The objective of the stage under way, None in fine-tuning."""
        return self.stages[self._index].objective

    def _is_validated(self) -> bool:
        return self._objective is None

    def _enter(self, index: int) -> None:
        if index == self._index:
            return
        super()._enter(index)
        objective = self._objective
        if objective is None:
            self.metrics = ()
        else:
            self.metrics = [keras.metrics.Mean(name=name) for name in objective.FIGURES]
            self._use(self._optimizer(index), objective.trainable)
            self.model.optimizer.save_own_variables = functools.partial(self._save_unused, index)

    def _save_unused(self, index: int, store: Any) -> None:
        """Save an optimizer that has not begun: slots of the objective's variables fit no model that is opened."""
        optimizer = self._optimizer(index)
        save_with_rate(optimizer)
        optimizer.build(self.model.trainable_variables)
        optimizer.save_own_variables(store)

    def _renew(self) -> None:
        if self._objective is None:
            super()._renew()
            return
        self._check_inputs()
        below = self._below(self._index)
        self._step = _pretraining_step(self.model, self._objective, below, self.augment, self.metrics)

    def _advance(self, at_most: int) -> float:
        value = super()._advance(at_most)
        position, stage = self.position, self.stages[self._index]
        is_last = position.epoch + 1 == sum(one.epochs for one in self.stages[: self._index + 1])
        if stage.decoder is not None and is_last and position.step == self.steps:
            layer, (kernel, bias) = self._layer(stage.decoder), stage.objective.decoder()
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)
        return value

    def _below(self, index: int) -> Callable[[Any], Any]:
        """Return a function from the model's inputs to those of the layer of a stage."""
        call = self._call(self.stages[index].trainable[0])
        return lambda x: self._unrolled.run(x, call.takes, training=False)[0]

    def _check(self, model: Any) -> None:
        for index, stage in enumerate(self.stages):
            key = "trainable" if stage.objective is None else "layer"
            try:
                if stage.optimizer is None and model.optimizer.use_ema or getattr(stage.optimizer, "use_ema", False):
                    raise ValueError("averages of weights (use_ema) do not suit pre-training. Remove them.")
                if stage.objective is not None:
                    self._build(model, stage)
                    key = "decoder"
                    self._check_decoder(model, stage)
                else:
                    select_trainable(model, stage.trainable)
                    if not model.trainable_variables:
                        globs = ", ".join(stage.trainable)
                        raise ValueError(f"nothing would learn: the layers of '{globs}' have no trainable weights")
            except ValueError as error:
                error.wired = ["stages", index, key]  # type: ignore[attr-defined]
                raise

    def _check_inputs(self) -> None:
        """Check a batch of the inputs of this stage's layer, and of later ones, so that none fails after hours.

        Raises:
            UnfitSetting: an objective does not suit what the layers below give.
        """
        x, _ = next(self._train.batches(1))
        for index in range(self._index, len(self.stages)):
            if (objective := self.stages[index].objective) is None:
                continue
            try:
                objective.check(np.asarray(self._below(index)(x)))
            except ValueError as error:
                message = f"stages[{index}]: {first_line(error)}"
                raise UnfitSetting(("procedure", type(self).__name__), message) from error

    def _build(self, model: Any, stage: Any) -> None:
        call = self._call(stage.trainable[0])
        if len(call.takes) != 1:
            raise ValueError(f"layer '{call.path}' takes {len(call.takes)} inputs, and an objective learns from one.")
        select_trainable(model, stage.trainable)
        stage.objective.build(call.layer, call.input_shapes[0])
        if not stage.objective.trainable:
            raise ValueError(f"nothing would learn: layer '{call.path}' has no trainable weights")

    def _check_decoder(self, model: Any, stage: Any) -> None:
        if stage.decoder is None:
            return
        layer, (kernel, _) = self._layer(stage.decoder), stage.objective.decoder()
        if not isinstance(layer, keras.layers.Dense):
            raise ValueError(f"a decoder is a Dense layer. '{layer.name}' is a {type(layer).__name__}.")
        if tuple(layer.kernel.shape) != tuple(kernel.shape):
            raise ValueError(
                f"the decoder of '{stage.trainable[0]}' has a kernel of shape {tuple(kernel.shape)}, layer "
                f"'{layer.name}' of {tuple(layer.kernel.shape)}. Give that layer {kernel.shape[1]} units on top of "
                f"{kernel.shape[0]}."
            )
        if not layer.use_bias:
            raise ValueError(f"a decoder has a bias, and layer '{layer.name}' none. Remove its use_bias: false.")

    def _call(self, glob: str) -> Any:
        """Return the first call of the one layer with weights that a glob matches."""
        calls = [call for call in self._unrolled.steps if call.first and getattr(call.layer, "weights", None)]
        found = [call for call in calls if matches(call.path, [glob])]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(call.path for call in found)
            raise ValueError(f"'{glob}' matches several layers, and one learns at a time: {names}.")
        check_globs([glob], [call.path for call in calls], "layer with weights")
        raise AssertionError("check_globs lets no other glob pass")

    def _layer(self, glob: str) -> Any:
        return self._call(glob).layer


def _pretraining_step(
    model: Any,
    objective: Objective,
    below: Callable[[Any], Any],
    augment: Any | None,
    metrics: Sequence[keras.metrics.Metric],
) -> Step:
    """Return a step of a pipeline's compiled loop by which one layer learns: step(x, y) -> running mean of figures.

    Args:
        below: from the model's inputs to the layer's.
        augment: a model applied to the batch's inputs.
        metrics: running means, one for each figure of the objective.
    """

    def step(x: Any, y: Any) -> tf.Tensor:
        x, _, _ = augmented_pair(augment, x, y)
        inputs = below(x)
        figures, gradients = objective.gradients(inputs)
        model.optimizer.apply(gradients, objective.trainable)
        for metric in metrics:
            metric.update_state(figures[metric.name], sample_weight=tf.shape(inputs)[0])
        return tf.add_n([tf.cast(metric.result(), tf.float32) for metric in metrics])

    return step
