"""Training in stages, each with its own trainable layers, learning rate and epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dltool.graph import keras_internals
from dltool.library.schedules.constant import Constant
from dltool.training.procedures.gradient_descent import GradientDescent
from dltool.training.scheduled_optimizer import make_optimizer, save_with_rate, schedules_of, steps_of
from dltool.training.stage_plan import Later, stages_of
from dltool.training.trainable_layers import select_trainable
from dltool.training.training_state import Position


class Stages(GradientDescent):
    """Gradient descent in stages: in stage i the layers of trainable_i learn for epochs_i at rate_i(step in stage).

    Fine-tuning trains first the new head at a large rate, then more layers at a small one. One history, one selection
    of the best epoch, callbacks and the exact state to resume from span all stages.

        procedure:
          Stages:
            - {trainable: "dense*", epochs: 3, learning_rate: 1e-2}
            - {trainable: ["base", "dense*"], epochs: 5,
               learning_rate: {CosineDecay: {initial_learning_rate: 1e-3, decay_steps: 5 epochs}}}

    Args:
        stages: mappings of
            trainable: a glob or a list of globs over layers' names and paths; a nested model's name stands for all
                its layers. Other values of `trainable` in the recipe are ignored. Defaults to "*".
            epochs: int > 0; fit.epochs is the sum and may be left out.
            learning_rate: a number or a schedule, whose steps count from the start of the stage. Defaults to the
                optimizer's own, likewise counted from 0.
    Raises:
        ValueError: no stages, an unknown key, a glob that matches no layer with weights, or a stage in which
            nothing would learn.
    Limits: the optimizer's slots (momentum, moments, averages of weights) start again in each stage, since they belong
        to the layers that learn; if weights are averaged (use_ema), a stage begins with the averages of the one
        before. Other scheduled arguments, such as the momentum, follow the steps of the whole training. A layer that
        does not learn adds nothing to the loss by its regularizer, so losses of stages then differ in what they sum:
        select by another metric. EarlyStopping ends all stages.
    Reference: lecture slide 116; Yosinski et al., 2014, How transferable are features in deep neural networks?
    """

    def __init__(self, stages: Sequence[Mapping[str, Any]]) -> None:
        self.stages = stages_of(stages)
        self.model: Any = None

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Check the globs on a compiled model and make it ready for its first stage.

        Args:
            steps_per_epoch: batches an epoch, int > 0.
            load, class_names: not needed.
        Raises:
            ValueError: as the class; its attribute `wired` leads to the stage's entry.
        """
        self._check(model)
        self.model, self._steps, self._given = model, steps_per_epoch, model.optimizer
        self._index = -1
        self._enter(0)

    def enter(self, model: Any, position: Position) -> None:
        """Make the model ready for a state captured at a position: its stage's trainable layers and optimizer."""
        last = position.epoch if position.step or not position.epoch else position.epoch - 1
        self._enter(self._number(last))

    def let_all_learn(self) -> None:
        """Let all layers of the prepared model learn that learn in any stage, by the recipe's optimizer.

        So the loss is a function of all weights that training moves.
        """
        select_trainable(self.model, self.globs)
        self._use(self._given, self.model.trainable_variables)

    @property
    def globs(self) -> list[str]:
        """Globs of the layers that learn in any stage."""
        return sorted({glob for stage in self.stages for glob in stage.trainable})

    def own_arrays(self) -> dict[str, np.ndarray]:
        return {**super().own_arrays(), "first_step": np.asarray(self._first_step(self._index))}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue as `GradientDescent.go_on`; the rate follows the steps of the stages as they are now."""
        super().go_on(arrays)
        now = self._first_step(self._index)
        moved = int(arrays.get("first_step", now)) - now
        if moved:
            steps_of(self.model.optimizer).assign_add(moved)

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        if self.model is not model or self._steps != steps_per_epoch:
            self.prepare(model, steps_per_epoch)
        total = sum(stage.epochs for stage in self.stages)
        if epochs != total:
            raise ValueError(f"the stages have {total} epochs altogether. Got {epochs}.")

    def _begin_epoch(self, number: int) -> None:
        index = self._number(number)
        if index != self._index:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
            self._enter(index)
            self._renew()

    def _columns(self) -> dict[str, float]:
        return {"stage": self._index + 1}

    def _number(self, epoch: int) -> int:
        """Return the stage of an epoch, counted from 0."""
        for index, stage in enumerate(self.stages):
            epoch -= stage.epochs
            if epoch < 0:
                return index
        return len(self.stages) - 1

    def _first_step(self, index: int) -> int:
        """Return the step of the whole training that is a stage's step 0."""
        return sum(stage.epochs for stage in self.stages[:index]) * self._steps

    def _enter(self, index: int) -> None:
        if index == self._index:
            return
        self._index = index
        select_trainable(self.model, self.stages[index].trainable)
        self._use(self._optimizer(index), self.model.trainable_variables)

    def _use(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Let the model train some variables by an optimizer."""
        self.model.optimizer = _scaling(self._given, optimizer)
        keras_internals.set_compiled_optimizer(self.model, optimizer)
        save_with_rate(self.model.optimizer)
        self.model.optimizer.build(variables)

    def _optimizer(self, index: int) -> Any:
        """Return the stage's optimizer, by default the recipe's, without a past, at the stage's rate."""
        stage, first = self.stages[index], self._first_step(index)
        given = keras_internals.inner_optimizer(stage.optimizer or self._given)
        scheduled = {name: table.schedule for name, table in schedules_of(given).items()}
        own_rate = scheduled.pop("learning_rate", None) or Constant(float(given.learning_rate))
        arguments = given.get_config()
        since = first if stage.optimizer is None else 0  # the recipe's optimizer goes through the whole training
        arguments |= {name: Later(schedule, since) for name, schedule in scheduled.items()}
        arguments["learning_rate"] = stage.learning_rate or own_rate
        return make_optimizer(type(given), arguments, stage.epochs * self._steps)

    def _check(self, model: Any) -> None:
        for index, stage in enumerate(self.stages):
            try:
                select_trainable(model, stage.trainable)
                if not model.trainable_variables:
                    globs = ", ".join(stage.trainable)
                    raise ValueError(f"nothing would learn: the layers of '{globs}' have no trainable weights")
            except ValueError as error:
                error.wired = ["stages", index, "trainable"]  # type: ignore[attr-defined]
                raise


def _scaling(given: Any, optimizer: Any) -> Any:
    """Return the optimizer within a loss scaling like that of `given`, if it has one (mixed_float16)."""
    if not isinstance(given, keras.optimizers.LossScaleOptimizer):
        return optimizer
    kept = ("initial_scale", "dynamic_growth_steps", "name")
    config = given.get_config()
    return keras.optimizers.LossScaleOptimizer(optimizer, **{name: config[name] for name in kept if name in config})
