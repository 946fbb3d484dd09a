"""A net's loss as a function of its weights, in float64, on some examples of a split."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import DivergedError, UsageError, messages
from dltool.landscape.spectrum import FULL, Spectrum, estimate_density, find_ends
from dltool.runs.preparation import prepare

if TYPE_CHECKING:
    from dltool.training.objective import Objective

POLICY = "dtype_policy"


class Net:
    """The loss J(w) of a recipe's or a run's model on some examples.

    Args:
        source: a recipe's file or bundled name, or a run directory.
        overrides: `key=value` texts; the dtype policy is float64 unless they name another.
        device: "auto", "cpu" or "gpu".
        split: "train", "validation" or "test".
        limit: examples, drawn at random; 0: all.
        seed: of the draw.
    Attributes:
        start: the weights as prepared, (weights,).
        examples: number of examples.
        optimizer_start: (variable, value) of the optimizer before the first step.
    Raises:
        UsageError: the recipe has no such split, or its loss is no function of its weights alone.
    Limits: dropout is off, and batch normalisation uses its moving statistics. The weights are those that learn, in a
        training by stages those that learn in any.
    """

    def __init__(
        self, source: str, overrides: Sequence[str], *, device: str, split: str, limit: int, seed: int
    ) -> None:
        if not any(override.startswith(f"{POLICY}=") for override in overrides):
            overrides = [*overrides, f"{POLICY}=float64"]
        self.source = source
        self.prepared = prepare(source, overrides, device=device)
        from dltool.training.objective import Objective, problem_of_model

        data, model = self.prepared.data, self.prepared.model
        self.globs: list[str] = getattr(self.prepared.procedure, "globs", [])  # of what learns in any stage
        if self.globs:
            self.prepared.procedure.let_all_learn()
        if split not in data.splits:
            raise UsageError(f"--split {split}: {source} has the splits {', '.join(data.splits)}. Name one of these.")
        if not model.trainable_variables:
            raise UsageError(f"{source}: the model has no trainable weights")
        problem = problem_of_model(model)
        if problem is not None:
            messages.say(f"{source}: {problem} in training; the loss is measured as the net predicts")
        pipeline = data.pipeline(split, data.evaluation_batch(self.prepared.batch_size))
        count = len(pipeline.order())
        self.chosen: np.ndarray | None = None
        if 0 < limit < count:
            self.chosen = np.sort(np.random.default_rng(seed).permutation(count)[:limit])
        self.examples = count if self.chosen is None else limit
        weigh = self.prepared.class_weight if split == "train" else None
        with data.explained():
            try:
                self.objective: Objective = Objective(model, pipeline, weigh=weigh)
            except ValueError as error:
                raise UsageError(f"{source}: {error}, so it is no function of the weights to measure") from error
        self.start = self.objective.weights
        self.optimizer_start = [(one, one.numpy()) for one in model.optimizer.variables]

    @property
    def size(self) -> int:
        return self.objective.size

    def value(self, weights: np.ndarray) -> float:
        """Return the loss J(w)."""
        return self.objective.value(weights, self.chosen)

    def value_and_gradient(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient (weights,)."""
        return self.objective.value_and_gradient(weights, self.chosen)

    def hessian(self, weights: np.ndarray) -> np.ndarray:
        """Return the Hessian (weights, weights)."""
        return self.objective.hessian(weights, self.chosen)

    def spectrum(self, weights: np.ndarray, kind: str, ends: int, seed: int) -> Spectrum:
        """Return the Hessian's spectrum.

        Args:
            kind: "full", "ends", "density" (both), or "auto": full up to `FULL` weights, else density.
            ends: eigenvalues at either end.
        """
        if kind == "auto":
            kind = "full" if self.size <= FULL else "density"
        if kind == "full" or self.size <= 2 * ends + 1:
            messages.status(f"Hessian of {self.size:,} weights ...")
            return Spectrum(self.size, np.linalg.eigvalsh(self.hessian(weights)), True)
        self.value(weights)

        def product(vector: np.ndarray) -> np.ndarray:
            return self.objective.hessian_product(vector, None, self.chosen)

        found = Spectrum(self.size, find_ends(product, self.size, ends, seed), False)
        if kind == "density":
            found.density = estimate_density(product, self.size, seed=seed)
        return found

    def train(self, weights: np.ndarray) -> tuple[int, np.ndarray]:
        """Return the steps of the recipe's training from some weights, and the weights that it ends with.

        Raises:
            DivergedError: the loss is not finite.
        """
        from dltool.data.pipelines.repeated import Repeated

        prepared, done = self.prepared, 0
        last = prepared.steps * prepared.epochs
        self.objective.weights = weights
        for variable, value in self.optimizer_start:
            variable.assign(value)
        batches = Repeated(prepared.train, prepared.seed)
        while done < last:
            made, loss = batches.advance(self._step, done, last - done)
            if not np.isfinite(loss):
                raise DivergedError(f"{self.source}: training diverges at step {done:,}. Lower the learning rate.")
            done += made
        return done, self.objective.weights

    @cached_property
    def _step(self) -> Any:
        """A step of the recipe's optimizer, traced once."""
        from dltool.training.procedures.gradient_descent import training_step

        return training_step(self.prepared.model, self.prepared.augment, self.prepared.class_weight, False)

    def draw_start(self, seed: int) -> np.ndarray:
        """Return initial weights of the recipe's model as another seed draws them, (weights,)."""
        import keras

        from dltool.recipe import build
        from dltool.training.trainable_layers import select_trainable

        prepared = self.prepared
        keras.utils.set_random_seed(seed)
        with prepared.data.explained():
            model = build.model(prepared.recipe, prepared.data.facts, prepared.train.inputs)
        if self.globs:
            select_trainable(model, self.globs)
        return np.concatenate([np.asarray(one, np.float64).ravel() for one in model.trainable_variables])

    def weights_of(self, run: Any) -> np.ndarray:
        """Return the weights of another run's model that learn here, in the order of this one's.

        Args:
            run: the `OpenedRun`.
        Raises:
            UsageError: its weights have other shapes.
        """
        mine, other = self.prepared.model.weights, run.model.weights
        if [tuple(variable.shape) for variable in other] != [tuple(variable.shape) for variable in mine]:
            raise UsageError(f"{run}: its weights do not have the shapes of {self.source}'s. Name runs of one model.")
        of = {id(variable): twin for variable, twin in zip(mine, other, strict=True)}  # which learn may differ
        chosen = [of[id(variable)] for variable in self.objective.variables]
        return np.concatenate([np.asarray(variable, np.float64).ravel() for variable in chosen])
