"""The straight walk: recipe -> data -> model -> fit -> run directory."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import (
    DivergedError,
    DltoolError,
    InterruptedRun,
    Place,
    Problem,
    RecipeError,
    Terminated,
    UsageError,
    messages,
    one_line,
    suggest,
)
from dltool.recipe import build, callback_paths, data_facts, kept_plugins
from dltool.recipe.data import Data
from dltool.recipe.reading import Recipe
from dltool.runs import bases, directory, environment, saved_state
from dltool.runs import place as run_place
from dltool.runs import resume as changes
from dltool.runs.directory import RunDirectory
from dltool.runs.epoch_choice import EpochChoice, check_averaging
from dltool.runs.interruption import Interruption
from dltool.runs.keeper import Keeper
from dltool.runs.preparation import DEFAULT_SEED, Preparation
from dltool.training import backend
from dltool.training.progress import TrainingProgress

if TYPE_CHECKING:
    from dltool.training.training_state import TrainingState

FEW_WEIGHTS = 16  # models this small have their weights listed among the results


@dataclass
class TrainedRun:
    """The result of `train`.

    Args:
        run: the run directory.
        metrics: the content of metrics.json.
    """

    run: RunDirectory
    metrics: dict[str, Any]


def train(
    recipe: Recipe,
    *,
    out: Path | None = None,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    accept_changes: bool = False,
    device: str = "auto",
    progress: TrainingProgress | None = None,
) -> TrainedRun:
    """Train a recipe's model into a run directory.

    Args:
        out: the run directory; by default runs/NAME, numbered if that is taken and not to be overwritten.
        name: NAME; by default the recipe's.
        resume: go on from the directory's saved state.
        overwrite: replace the run that is there, once the new one is ready for its first step.
        accept_changes: resume although the recipe differs from the run's.
        device: "auto", "cpu" or "gpu".
    Raises:
        RecipeError, UsageError, DataError: nothing was touched.
        DivergedError, InterruptedRun: the last good state is in the run directory.
    """
    progress = progress or TrainingProgress(quiet=True)
    dataset = build.dataset(recipe.section("data", "dataset"))
    resolved = changes.resolved(recipe, DEFAULT_SEED)
    name = name or recipe.name
    if out is None and overwrite:
        out = run_place.HOME / name
    run = RunDirectory(out) if out is not None else RunDirectory.fresh(name)
    goes_on = False  # whether training goes on although a callback had ended it
    if resume:
        if out is None:
            raise UsageError("--resume needs the run: give --out RUN, or the run directory in place of the recipe")
        for line in changes.check_resumable(run, resolved, accept_changes):
            progress.say(f"changed since: {line}")
            goes_on |= not line.startswith("fit.epochs:")  # more epochs alone would have ended at the same one
        dataset = changes.as_trained(dataset, recipe, run)
    else:
        run.check_free(overwrite)
        changes.check_edited(run, resolved)
    bases.check_outlive(run, recipe)
    seed = recipe.setting("seed", default=DEFAULT_SEED)
    backend.configure(device=device, deterministic=recipe.setting("deterministic", default=False), seed=seed)
    build.check(recipe)
    kept = None if resume or dataset.is_streamed else data_facts.entry_of(recipe, dataset)
    data_facts.remember(kept, dataset)
    data = Data.of(recipe, dataset, changes.own_vocabulary(run) if resume else None)
    for hint in () if resume else data.hints():
        progress.say(f"{hint}.")
    if out is None:
        run = RunDirectory.claimed(name)  # another training may have taken the name meanwhile
    with run.locked():
        if resume:
            changes.check_same_data(run, data)
            if not accept_changes:
                bases.check_same(run, resolved)
        else:
            run.check_free(overwrite)
        policy = recipe.setting("dtype_policy")
        backend.begin_anew(seed, policy)
        if backend.computes_slowly_in(policy):
            progress.say(f"{policy} is slow on this processor, which has no instructions for it: dtype_policy=float32")
        work = _Training(recipe, data, seed, run)

        def begin() -> None:
            if resume:
                run.forget_results()
            else:
                run.start(callback_paths.existing(run.path, work.callbacks))
            if any(getattr(one, "filename", None) == str(run / directory.PERCENTILES[0]) for one in work.callbacks):
                run.note(*directory.PERCENTILES)
            run.write_recipe(resolved.to_yaml())
            if data.vocabulary is not None:
                run.write_vocabulary(data.vocabulary.files())
            run.write_plugins(own_python)
            run.write_json(directory.DATA, data.facts)
            data_facts.keep(kept, data, dataset)
            if found:
                run.write_json(directory.BASES, {"bases": found})
            run.write_json(directory.ENVIRONMENT, {"sessions": [*sessions, environment.describe(device, seed)]})

        sessions = run.sessions() if resume else []
        found = bases.records(resolved)
        own_python = kept_plugins.files_of(kept_plugins.used_by(recipe.root, data.dataset.task))
        state = work.load_state(goes_on) if resume and saved_state.exists(run) else None
        if state is not None and state.stopped and state.position.epoch < work.prepared.epochs:
            ended = f"a callback had ended training after epoch {state.position.epoch}, whatever fit.epochs is"
            progress.say(f"{ended}. To go on, change or remove it in fit.callbacks.")
        return TrainedRun(run, work.fit(state, begin, progress))


class _Training:
    """A model compiled for its data, ready to fit into a run directory."""

    def __init__(self, recipe: Recipe, data: Data, seed: int, run: RunDirectory) -> None:
        from dltool.training.evaluation import Evaluation

        self.prepared = Preparation(recipe, data, seed)
        self.recipe, self.data, self.run, self.model = recipe, data, run, self.prepared.model
        self.evaluation = Evaluation(self.model)
        self.callbacks = build.callbacks(recipe, run.path, changes.recipe_before(run))
        self._check_callbacks(self.callbacks)
        validated = self.prepared.validation is not None
        choice = EpochChoice(recipe, self.model, self.callbacks, validated, self._check_monitor)
        self.selector = choice.selector
        self.notes = [*self.prepared.notes, *choice.notes]
        check_averaging(recipe, self.model, self.callbacks, self.selector)

    def fit(self, state: Any | None, begin: Callable[[], None], progress: TrainingProgress) -> dict[str, Any]:
        """Train from a state or from the beginning; the content of metrics.json."""
        import tensorflow as tf

        for note in self.notes:
            progress.say(note)
        interruption = Interruption(progress.say)
        keeper = Keeper(self.run, self.selector, progress, interruption, begin, _rate(self.recipe))
        undone = callback_paths.undone_before(lambda: keeper.has_begun, self.callbacks)
        with self.data.explained(), interruption.listening(), undone:
            try:
                history = self.prepared.procedure.fit(
                    self.model,
                    **self.prepared.fit_arguments(),
                    callbacks=self.callbacks,
                    evaluation=self.evaluation,
                    observer=keeper,
                    state=state,
                )
            except FloatingPointError as error:
                keeper.save_pending()
                kept = self._keep_last_good(keeper.last or state)
                remedy = "Lower the learning rate, clip gradients (clipnorm) or check the data's scale."
                raise DivergedError(f"{error}. {kept} {remedy}") from error
            except (DltoolError, MemoryError, tf.errors.OpError):
                keeper.save_pending()
                raise
            except Exception as error:  # of Keras, in the first step or in a callback: about values it did not check
                raise self._failure(error, keeper, state) from error
            finally:
                progress.ended()
            keeper.ensure_begun()  # resumed after the last epoch, there was no step
            keeper.save_pending()
        for remark in self.prepared.procedure.remarks():
            progress.say(remark)
        try:
            return self._finish(history, keeper.seconds)
        except (KeyboardInterrupt, Terminated) as error:
            number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
            message = f"interrupted after the last epoch. Finish with: dltool train {self.run} --resume"
            raise InterruptedRun(message, number) from error

    # -- checks ----------------------------------------------------------------------------------------

    def _failure(self, error: Exception, keeper: Keeper, state: TrainingState | None) -> DltoolError:
        """Return the failure behind an error of Keras.

        Before the first step it is the recipe's, later the run has failed.
        """
        line = one_line(error)
        if keeper.has_begun:
            keeper.save_pending()
            kept = f" The state is in {self.run}." if saved_state.exists(self.run) else ""
            return DltoolError(f"{self.run}: training failed: {line}.{kept} --traceback shows where.")
        if state is not None:
            return UsageError(f"{self.run}: can't go on: {line}. Train again with another --out.")
        message = f"the first step fails: {line}. Check the values under compile and fit; --traceback shows where."
        return RecipeError([Problem(self.recipe.section("compile").place, "compile", message)])

    def _check_callbacks(self, callbacks: Sequence[Any]) -> None:
        from dltool.library.callbacks._periodic import PeriodicCallback

        for index, callback in enumerate(callbacks):
            if fault := callback_paths.fault_of_names(getattr(callback, "filepath", ""), self._names_in(callback)):
                place = self.recipe.section("fit", "callbacks").data[index].place
                raise RecipeError([Problem(place, f"fit.callbacks[{index}].{type(callback).__name__}", fault)])
            if isinstance(callback, PeriodicCallback):
                try:
                    callback.set_model(self.model)
                except ValueError as error:
                    place = self.recipe.section("fit", "callbacks").data[index].place
                    path = f"fit.callbacks[{index}].{type(callback).__name__}"
                    raise RecipeError([Problem(place, path, str(error))]) from error
            if type(callback).__name__ == "TensorBoard" and importlib.util.find_spec("tensorboard") is None:
                place = self.recipe.section("fit", "callbacks").data[index].place
                message = "needs the package tensorboard: pip install tensorboard, or remove it."
                raise RecipeError([Problem(place, f"fit.callbacks[{index}].TensorBoard", message)])
            if type(callback).__name__ == "ReduceLROnPlateau" and not self._rate_is_a_number():
                place = self.recipe.section("fit", "callbacks").data[index].place
                message = "changes a learning rate that is a number; this recipe's is a schedule. Remove one of them."
                raise RecipeError([Problem(place, f"fit.callbacks[{index}].ReduceLROnPlateau", message)])
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and getattr(callback, "save_freq", "epoch") == "epoch":
                if type(callback).__name__ == "ModelCheckpoint" and not callback.save_best_only:
                    continue
                value = self.recipe.section("fit", "callbacks").data[index]
                self._check_monitor(monitor, value.place, f"fit.callbacks[{index}]")

    def _names_in(self, callback: Any) -> dict[str, float]:
        """A number for each name that a path of the callback may hold."""
        names = {"epoch": 1, **dict.fromkeys(self.prepared.logs, 0.5)}
        names |= {metric.name: 0.5 for metric in self.prepared.procedure.metrics}
        if getattr(callback, "save_freq", "epoch") != "epoch":
            return names | {"batch": 1}
        every_epoch = self.prepared.validation is not None and self.recipe.setting("fit", "validation_freq") in (
            None,
            1,
        )
        return names | {f"val_{name}": 0.5 for name in self.prepared.logs if every_epoch}

    def _rate_is_a_number(self) -> bool:
        import keras

        from dltool.graph import keras_internals

        rate = keras_internals.learning_rate(keras_internals.inner_optimizer(self.model.optimizer))
        return not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)

    def _check_monitor(self, monitor: str, place: Place, path: str) -> None:
        known = list(self.prepared.logs)
        if self.prepared.validation is not None:
            known += [f"val_{name}" for name in known]
        known += [metric.name for metric in self.prepared.procedure.metrics]
        if monitor not in known:
            why = ""
            if monitor.startswith("val_") and self.prepared.validation is None:
                why = " The data have no validation split: set data.validation_split."
            message = f"monitors '{monitor}', which is not measured.{why or suggest(monitor, known)}"
            raise RecipeError([Problem(place, path, f"{message} Measured: {', '.join(known)}.")])

    # -- state and results -------------------------------------------------------------------------------

    def load_state(self, goes_on: bool) -> TrainingState:
        """The state that the run has saved; a learning rate that the recipe has changed since is the recipe's.

        Args:
            goes_on: whether training goes on although a callback had ended it.
        """
        from dltool.graph import keras_internals
        from dltool.training.training_state import variables

        saved = saved_state.read(self.run)
        with self.run.reading(directory.STATE):
            self.selector.restore(saved.selected, self.run)
        state, arrays, position = saved.state, saved.state.arrays, saved.state.position
        state.stopped = state.stopped and not goes_on
        if position.step > self.prepared.steps:
            raise UsageError(
                f"{self.run}: can't go on: its state is after batch {position.step} of an epoch, "
                f"which now has {self.prepared.steps}. Train again with another --out."
            )
        if saved.rate != _rate(self.recipe):
            rate = keras_internals.learning_rate(keras_internals.inner_optimizer(self.model.optimizer))
            for name, variable in variables(self.model, self.prepared.augment).items():
                if variable is rate:
                    arrays[name] = np.asarray(variable)
        return state

    def _keep_last_good(self, state: TrainingState | None) -> str:
        """After divergence: the best model so far goes into the run; what was kept, in a sentence."""
        from dltool.training.training_state import variables

        if state is None or not state.history:
            return "No epoch was complete."
        self.prepared.procedure.enter(self.model, state.position)
        for name, variable in variables(self.model, self.prepared.augment).items():
            variable.assign(state.arrays[name])
        optimizer = self.model.optimizer
        optimizer.finalize_variable_values(self.model.trainable_variables)  # as at the end of training
        selected = self.selector.apply(self.model, len(state.history))
        self._save(state.history, selected)
        kept = f"The model of epoch {selected['epoch']} and the state after epoch {state.position.epoch}"
        return f"{kept} are in {self.run}."

    def _save(self, history: list[dict[str, float]], selected: dict[str, Any]) -> None:
        from dltool.output.history import plot_history

        self.run.save_model(self.model)
        self.run.write_history(history)
        with directory.atomic(self.run / directory.PICTURE) as file:
            plot_history(history, file, self.run.path.absolute().name, selected["epoch"])

    def _finish(self, history: list[dict[str, float]], seconds: float) -> dict[str, Any]:
        selected = self.selector.apply(self.model, len(history))
        figures = {}
        with self.data.explained():
            for name in self.data.splits:
                messages.status(f"evaluating on the {name} split ...")
                pipeline = self.data.pipeline(name, self.data.evaluation_batch(self.prepared.batch_size))
                figures[name] = self.evaluation.run(pipeline)
        metrics: dict[str, Any] = {
            **figures,
            "selected": selected,
            "epochs": len(history),
            "parameters": self.model.count_params(),
            "seconds": seconds,
            "examples": {name: split.size for name, split in self.data.splits.items()},
        }
        metrics |= self.data.task.counts(self.data.facts, [*self.data.splits])
        if self.model.count_params() <= FEW_WEIGHTS:
            metrics["weights"] = {w.path: w.numpy().tolist() for w in self.model.weights}
        self._save(history, selected)
        self.run.write_json(directory.METRICS, metrics)
        return metrics


def _rate(recipe: Recipe) -> Any:
    """The learning rate that a recipe's optimizer names."""
    optimizer = recipe.setting("compile", "optimizer")
    if not isinstance(optimizer, dict):
        return None
    (body,) = optimizer.values()
    return body.get("learning_rate") if isinstance(body, dict) else body
