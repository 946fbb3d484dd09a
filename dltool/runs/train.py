"""The straight walk: recipe -> data -> model -> fit -> run directory."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dltool.errors import (
    DivergedError,
    DltoolError,
    InterruptedRun,
    Problem,
    RecipeError,
    Terminated,
    UsageError,
    messages,
    one_line,
)
from dltool.output.files import atomic
from dltool.recipe import build, callback_paths, data_facts, kept_plugins, plugins
from dltool.recipe.data import Data
from dltool.recipe.reading import Recipe
from dltool.runs import bases, directory, environment, saved_state
from dltool.runs import place as run_place
from dltool.runs import resume as changes
from dltool.runs.callback_checks import CallbackChecks
from dltool.runs.directory import RunDirectory
from dltool.runs.epoch_choice import EpochChoice, check_averaging
from dltool.runs.interruption import Interruption
from dltool.runs.keeper import Keeper
from dltool.runs.preparation import DEFAULT_SEED, Preparation, read_data
from dltool.training import backend
from dltool.training.progress import TrainingProgress

if TYPE_CHECKING:
    from dltool.data.base import Dataset
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
    name = name or recipe.name
    if out is None and resume:
        raise UsageError("--resume needs the run: give --out RUN, or the run directory in place of the recipe")
    if out is None and overwrite:
        out = run_place.HOME / name
    run = RunDirectory(out) if out is not None else RunDirectory.fresh(name)
    session = _Session(recipe, run, resume, overwrite, accept_changes, device, progress)
    session.check()
    data = session.read_data(dataset)
    if out is None:
        session.run = RunDirectory.claimed(name)  # another training may have taken the name meanwhile
    with session.run.locked():
        session.check_again(data)
        return session.fit(data)


@dataclass
class _Session:
    """A session of training in a run directory, from the beginning or going on.

    Args:
        recipe: with its overrides; in `resolved` as it runs again from any folder.
        run: the run directory.
        resume, overwrite, accept_changes, device: as of `train`.
    """

    recipe: Recipe
    run: RunDirectory
    resume: bool
    overwrite: bool
    accept_changes: bool
    device: str
    progress: TrainingProgress

    def __post_init__(self) -> None:
        self.resolved = changes.resolved(self.recipe, DEFAULT_SEED)
        self.goes_on = False  # whether training goes on although a callback had ended it
        self.keep_facts: Callable[[Data], None] = lambda data: None

    def check(self) -> None:
        """Raise if the run may not be trained into; say what has changed since it was.

        Raises:
            UsageError, DataError: nothing was touched.
        """
        if self.resume:
            for line in changes.check_resumable(self.run, self.resolved, self.accept_changes):
                self.progress.say(f"changed since: {line}")
                self.goes_on |= not line.startswith("fit.epochs:")  # more epochs alone would end at the same one
        else:
            self.run.check_free(self.overwrite)
            changes.check_edited(self.run, self.resolved)
        bases.check_outlive(self.run, self.recipe)

    def read_data(self, dataset: Dataset) -> Data:
        """Return the recipe's data, of a run that goes on as it was trained on them."""
        vocabulary = None
        if self.resume:
            dataset = changes.as_trained(dataset, self.recipe, self.run)
            vocabulary = changes.own_vocabulary(self.run)
        elif not dataset.is_streamed:
            kept = data_facts.entry_of(self.recipe, dataset)
            data_facts.remember(kept, dataset)
            self.keep_facts = lambda data: data_facts.keep(kept, data, dataset)
        data = read_data(self.recipe, self.device, vocabulary, dataset)
        data_facts.check_targets(self.recipe, data, dataset)
        for hint in () if self.resume else data.hints():
            self.progress.say(f"{hint}.")
        return data

    def check_again(self, data: Data) -> None:
        """Raise if what was there before the data were read is there no more, or the data are others.

        Raises:
            UsageError, DataError: nothing was touched.
        """
        if not self.resume:
            self.run.check_free(self.overwrite)
            return
        changes.check_same_data(self.run, data)
        if not self.accept_changes:
            bases.check_same(self.run, self.resolved)

    def fit(self, data: Data) -> TrainedRun:
        """Train the model into the run."""
        policy = self.recipe.setting("dtype_policy")
        if backend.computes_slowly_in(policy):
            slow = f"{policy} is slow on this processor, which has no instructions for it"
            self.progress.say(f"{slow}: dtype_policy=float32")
        work = _Training(self.recipe, data, self.run)
        files = self._files(work)
        state = work.load_state(self.goes_on) if self.resume and saved_state.exists(self.run) else None
        if state is not None and state.stopped and state.position.epoch < work.prepared.epochs:
            ended = f"a callback had ended training after epoch {state.position.epoch}, whatever fit.epochs is"
            self.progress.say(f"{ended}. To go on, change or remove it in fit.callbacks.")
        return TrainedRun(self.run, work.fit(state, lambda: self._begin(work, files), self.progress))

    def _files(self, work: _Training) -> _Files:
        """Return the record of how the run is trained, from before the first step."""
        sessions = self.run.sessions() if self.resume else []
        own_python = kept_plugins.used_by(self.recipe.root, work.data.dataset.task)
        return _Files(
            bases.records(self.resolved),
            kept_plugins.files_of(own_python),
            [*sessions, environment.describe(self.device, work.prepared.seed)],
        )

    def _begin(self, work: _Training, files: _Files) -> None:
        """Write down how the run is trained; what it replaces goes."""
        run, data = self.run, work.data
        if self.resume:
            run.forget_results()
        else:
            run.start(callback_paths.existing(run.path, work.callbacks))
        if any(getattr(one, "filename", None) == str(run / directory.PERCENTILES[0]) for one in work.callbacks):
            run.note(*directory.PERCENTILES)
        run.write_recipe(self.resolved.to_yaml())
        if data.vocabulary is not None:
            run.write_vocabulary(data.vocabulary.files())
        run.write_plugins(files.own_python)
        run.write_json(directory.DATA, data.facts)
        self.keep_facts(data)
        if files.bases:
            run.write_json(directory.BASES, {"bases": files.bases})
        run.write_json(directory.ENVIRONMENT, {"sessions": files.sessions})


class _Files(NamedTuple):
    """The content of files of a run: records of its bases, its own Python, a record of each session."""

    bases: list[Any]
    own_python: dict[str, bytes]
    sessions: list[dict[str, Any]]


class _Training:
    """A model compiled for its data, ready to fit into a run directory."""

    def __init__(self, recipe: Recipe, data: Data, run: RunDirectory) -> None:
        from dltool.training.evaluation import Evaluation

        self.prepared = Preparation(recipe, data)
        self.recipe, self.data, self.run, self.model = recipe, data, run, self.prepared.model
        self.evaluation = Evaluation(self.model)
        self.callbacks = build.callbacks(recipe, run.path, changes.recipe_before(run))
        checks = CallbackChecks(self.prepared)
        checks.check(self.callbacks)
        choice = EpochChoice(recipe, self.model, self.callbacks, checks.has_validation, checks.check_monitor)
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
                if not self.prepared.has_optimizer:
                    remedy = "Check the scale of data and initial weights."
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
        line = plugins.place_in(error, even_if_said=True) + one_line(error)
        if keeper.has_begun:
            keeper.save_pending()
            kept = f" The state is in {self.run}." if saved_state.exists(self.run) else ""
            return DltoolError(f"{self.run}: training failed: {line}.{kept} --traceback shows where.")
        if state is not None:
            return UsageError(f"{self.run}: can't go on: {line}. Train again with another --out.")
        if (setting := getattr(error, "setting", ())) and (value := self.recipe.get(*setting)) is not None:
            return RecipeError([Problem(value.key or value.place, ".".join(setting), f"{line}.")])
        message = f"the first step fails: {line}. Check the values under compile and fit; --traceback shows where."
        return RecipeError([Problem(self.recipe.section("compile").place, "compile", message)])

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
        with atomic(self.run / directory.PICTURE) as file:
            plot_history(history, file, self.run.path.absolute().name, selected["epoch"])

    def _finish(self, history: list[dict[str, float]], seconds: float) -> dict[str, Any]:
        selected = self.selector.apply(self.model, len(history))
        self._save(history, selected)
        for name, model in self.prepared.procedure.further_models.items():
            self.run.save_model(model, f"{name}.keras")
        try:
            figures = self._figures()
        except Exception:
            lost = "is trained and saved, but could not be evaluated"
            messages.say(f"{self.run}: {lost}. When that is mended, finish with: dltool train {self.run} --resume")
            raise
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
        self.run.write_json(directory.METRICS, metrics)
        return metrics

    def _figures(self) -> dict[str, dict[str, float]]:
        """Return the figures of each split."""
        figures = {}
        with self.data.explained():
            for name in self.data.splits:
                messages.status(f"evaluating on the {name} split ...")
                pipeline = self.data.pipeline(name, self.data.evaluation_batch(self.prepared.batch_size))
                figures[name] = self.evaluation.run(pipeline)
        return figures


def _rate(recipe: Recipe) -> Any:
    """The learning rate that a recipe's optimizer names."""
    optimizer = recipe.setting("compile", "optimizer")
    if not isinstance(optimizer, dict):
        return None
    (body,) = optimizer.values()
    return body.get("learning_rate") if isinstance(body, dict) else body
