"""The straight walk: recipe -> data -> model -> fit -> run directory."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool import __version__, backend, build, runs
from dltool import recipe as recipes
from dltool.datasets import splits
from dltool.datasets.base import Dataset, StreamedDataset
from dltool.errors import DataError, DivergedError, InterruptedRun, Place, Problem, RecipeError, UsageError
from dltool.interruption import Interruption
from dltool.progress import TrainingProgress
from dltool.recipe import Recipe, Value
from dltool.runs import RunDirectory

if TYPE_CHECKING:
    from dltool.pipelines.base import Pipeline
    from dltool.pipelines.in_memory import DeviceArrays
    from dltool.procedures.gradient_descent import GradientDescent

DEFAULT_BATCH_SIZE = 32  # as keras.Model.fit
DEFAULT_SEED = 0
EVALUATION_BATCH = 512  # examples, for evaluation of arrays in memory; results do not depend on it
SECONDS_BETWEEN_CHECKPOINTS = 2.0  # epochs shorter than this do not each write one
FEW_WEIGHTS = 16  # models this small have their weights listed among the results


class Data:
    """A recipe's dataset, split.

    Args:
        dataset: the dataset.
        split_arguments: `validation_split`, `test_split` and `seed` of `splits.split`.
    """

    def __init__(self, dataset: Dataset, **split_arguments: Any) -> None:
        self.dataset = dataset
        with reading():
            self.splits = splits.split(dataset, **split_arguments)
        self._arrays: dict[str, DeviceArrays] = {}

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset) -> Data:
        section = recipe.get("data")
        keys = {"validation_split": "validation_split", "test_split": "test_split", "split_seed": "seed"}
        arguments = {keys[name]: section[name].plain() for name in keys if name in section.data}
        try:
            return cls(dataset, **arguments)
        except DataError as error:
            if isinstance(error.__cause__, ValueError) and arguments:
                raise RecipeError([Problem(section.place, "data", str(error))]) from error
            raise

    @cached_property
    def facts(self) -> dict[str, Any]:
        with reading():
            facts = dict(self.dataset.facts())
        for name, split in self.splits.items():
            facts[f"{name}_size"] = split.size
        return facts

    def pipeline(self, name: str, batch_size: int) -> Pipeline | None:
        """The batches of a split, None if the data have no such split."""
        if name not in self.splits:
            return None
        split = self.splits[name]
        with reading():
            indices = split.indices()
            if isinstance(self.dataset, StreamedDataset):
                from dltool.pipelines.streamed import Streamed

                return Streamed(self.dataset, split.part, indices, batch_size)
            from dltool.pipelines.in_memory import DeviceArrays, InMemory

            if split.part not in self._arrays:
                self._arrays[split.part] = DeviceArrays(self.dataset.read(split.part))
            return InMemory(self._arrays[split.part], indices, batch_size)

    def evaluation_batch(self, batch_size: int) -> int:
        return batch_size if isinstance(self.dataset, StreamedDataset) else max(batch_size, EVALUATION_BATCH)

    def explain(self, error: Exception) -> DataError | None:
        """What is wrong with a stream's files, if that is what ended a loop in TensorFlow."""
        if not isinstance(self.dataset, StreamedDataset):
            return None
        for part in dict.fromkeys(split.part for split in self.splits.values()):
            if (line := self.dataset.unreadable(part)) is not None:
                return DataError(line)
        return None


class reading:  # noqa: N801 - reads as a statement: with reading(): ...
    """Errors of a dataset's reader become `DataError`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, OSError) and error.filename is not None and error.errno is not None:
            raise DataError(f"{error.filename}: {error.strerror}") from error
        if isinstance(error, OSError | ValueError):
            raise DataError(build.one_line(error)) from error


@dataclass
class TrainedRun:
    """What `train` gives.

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
    resume: bool = False,
    overwrite: bool = False,
    accept_changes: bool = False,
    device: str = "auto",
    progress: TrainingProgress | None = None,
) -> TrainedRun:
    """Train a recipe's model into a run directory.

    Args:
        out: the run directory; by default runs/NAME, numbered if that is taken.
        resume: go on from the directory's saved state.
        overwrite: replace the run that is there.
        accept_changes: resume although the recipe differs from the run's.
        device: "auto", "cpu" or "gpu".
    Raises:
        RecipeError, UsageError, DataError: nothing was touched.
        DivergedError, InterruptedRun: the last good state is in the run directory.
    """
    progress = progress or TrainingProgress(quiet=True)
    dataset = build.dataset(recipe.get("data", "dataset"))
    resolved = _resolved(recipe)
    run = RunDirectory(out) if out is not None else RunDirectory.fresh(recipe.name)
    if resume:
        _check_resumable(run, resolved, out, accept_changes, progress)
    else:
        run.check_free(overwrite)
    seed = recipe.setting("seed", default=DEFAULT_SEED)
    backend.configure(
        device=device,
        dtype_policy=recipe.setting("dtype_policy"),
        deterministic=recipe.setting("deterministic", default=False),
        seed=seed,
    )
    build.check(recipe)
    data = Data.of(recipe, dataset)
    _seed_again(seed)
    work = _Training(recipe, data, seed)
    with run.locked():
        if resume:
            _check_same_data(run, data)
        else:
            run.start()
        run.write_text(runs.RECIPE, resolved.to_yaml())
        run.write_json(runs.DATA, data.facts)
        _write_environment(run, device, seed, resume)
        return TrainedRun(run, work.fit(run, resume, progress))


class _Training:
    """A model compiled for its data, ready to fit."""

    def __init__(self, recipe: Recipe, data: Data, seed: int) -> None:
        from dltool.procedures.evaluation import Evaluation

        self.recipe, self.data, self.seed = recipe, data, seed
        self.batch_size = recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)
        self.train = data.pipeline("train", self.batch_size)
        held = recipe.setting("fit", "validation_batch_size") or data.evaluation_batch(self.batch_size)
        self.validation = data.pipeline("validation", held)
        self.steps = self._steps_per_epoch()
        with self._explained():
            self.model = build.model(recipe, data.facts, self.train.inputs)
            build.compile(recipe, self.model, data.facts, self.steps)
            self.augment = build.augmentation(recipe, data.facts)
            self._check_outputs()
            self.logs = self._build_state()
        if recipe.setting("compile", "run_eagerly", default=False):
            import tensorflow as tf

            tf.config.run_functions_eagerly(True)
        self.selector = self._selector()
        self.evaluation = Evaluation(self.model)

    def fit(self, run: RunDirectory, resume: bool, progress: TrainingProgress) -> dict[str, Any]:
        recipe = self.recipe
        procedure = build.procedure(recipe)
        callbacks = build.callbacks(recipe, run.path)
        self._check_monitors(callbacks)
        state = None
        if resume and (run / runs.STATE).is_file():
            state = self._load_state(run)
        interruption = Interruption(progress.say)
        keeper = _Keeper(run, self.selector, progress, interruption)
        with self._explained(), interruption.listening():
            try:
                history = procedure.fit(
                    self.model,
                    self.train,
                    self.validation,
                    epochs=recipe.setting("fit", "epochs", default=1),
                    callbacks=callbacks,
                    augment=self.augment,
                    shuffle=recipe.setting("fit", "shuffle", default=True),
                    class_weight=self._class_weight(),
                    steps_per_epoch=recipe.setting("fit", "steps_per_epoch"),
                    validation_steps=recipe.setting("fit", "validation_steps"),
                    validation_freq=recipe.setting("fit", "validation_freq", default=1),
                    steps_per_execution=self._steps_per_execution(),
                    jit_compile=self._jit_compile(),
                    seed=self.seed,
                    evaluation=self.evaluation,
                    observer=keeper,
                    state=state,
                )
            except FloatingPointError as error:
                keeper.save_pending()
                raise DivergedError(self._divergence(str(error), run, keeper)) from error
            except InterruptedRun:
                keeper.save_pending()
                raise
            finally:
                progress.ended()
            keeper.save_pending()
        return self._finish(run, history, keeper)

    # -- preparation -----------------------------------------------------------------------------------

    def _steps_per_epoch(self) -> int:
        asked = self.recipe.get("fit", "steps_per_epoch")
        if asked is None or asked.data is None:
            return self.train.steps
        if asked.data > self.train.steps:
            message = f"must be at most {self.train.steps}, the batches of the training split. Got {asked.data}."
            raise RecipeError([Problem(asked.place, "fit.steps_per_epoch", message)])
        return asked.data

    def _build_state(self) -> list[str]:
        """Create optimizer slots and metric variables on a first batch; the names of the logs."""
        from dltool.procedures.evaluation import figures_of

        model = self.model
        x, y = next(self.train.batches(1))
        value = self.recipe.get("compile", "loss") or self.recipe.get("compile")
        try:
            predicted = model(x, training=False)
            model.compute_loss(x, y, predicted, None, training=False)
            model.compute_metrics(x, y, predicted, None)
        except Exception as error:
            if (explained := self.data.explain(error)) is not None:
                raise explained from error
            shapes = f"Outputs have shape {_shapes(predicted)}, targets {_shapes(y)}." if "predicted" in locals() else ""
            message = f"does not fit the model's outputs and the data's targets: {build.one_line(error)} {shapes}"
            raise RecipeError([Problem(value.place, "compile.loss", message.strip())]) from error
        model.optimizer.build(model.trainable_variables)
        logs = list(figures_of(model))
        model.reset_metrics()
        return ["loss", *(name for name in logs if name != "loss")]

    def _check_outputs(self) -> None:
        """A softmax over fewer outputs than classes would read beyond its end."""
        classes = self.data.facts.get("num_classes")
        loss = self.recipe.get("compile", "loss")
        name = (recipes.object_name(loss) or loss.data) if loss is not None else None
        shape = getattr(self.model, "output_shape", None)
        if name not in ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy") or not classes:
            return
        if isinstance(shape, tuple) and isinstance(shape[-1], int) and shape[-1] < classes:
            value = self.recipe.get("model")
            place = value.data[-1].place if value.is_list else value.place
            path = f"model[{len(value.data) - 1}]" if value.is_list else "model"
            message = f"gives {shape[-1]} outputs, the data have {classes} classes. Use ${{data.num_classes}}."
            raise RecipeError([Problem(place, path, message)])

    def _selector(self) -> Selector:
        monitor = self.recipe.get("select", "monitor")
        mode = self.recipe.setting("select", "mode")
        if monitor is None:
            return Selector("val_loss" if self.validation is not None else None, "min")
        self._check_monitor(monitor.data, monitor.place, "select.monitor")
        return Selector(monitor.data, mode or ("min" if monitor.data.endswith("loss") else "max"))

    def _check_monitors(self, callbacks: Sequence[Any]) -> None:
        for index, callback in enumerate(callbacks):
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and not getattr(callback, "save_freq", "epoch") != "epoch":
                if type(callback).__name__ == "ModelCheckpoint" and not callback.save_best_only:
                    continue
                value = self.recipe.get("fit", "callbacks").data[index]
                self._check_monitor(monitor, value.place, f"fit.callbacks[{index}]")

    def _check_monitor(self, monitor: str, place: Place, path: str) -> None:
        known = [*self.logs, *(f"val_{name}" for name in self.logs)] if self.validation is not None else self.logs
        if monitor not in known:
            why = ""
            if monitor.startswith("val_") and self.validation is None:
                why = " The data have no validation split: set data.validation_split."
            message = f"monitors '{monitor}', which is not measured.{why or recipes.suggest(monitor, known)}"
            raise RecipeError([Problem(place, path, f"{message} Measured: {', '.join(known)}.")])

    def _class_weight(self) -> Any:
        from dltool.procedures.gradient_descent import class_weights

        value = self.recipe.get("fit", "class_weight")
        if value is None or value.data is None:
            return None
        try:
            return class_weights(value.plain(), self.data.facts.get("num_classes") or 0)
        except ValueError as error:
            raise RecipeError([Problem(value.place, "fit.class_weight", str(error))]) from error

    def _steps_per_execution(self) -> int | None:
        asked = self.recipe.setting("compile", "steps_per_execution", default="auto")
        return None if asked == "auto" else asked

    def _jit_compile(self) -> bool:
        from dltool.procedures.execution import xla_pays

        asked = self.recipe.setting("compile", "jit_compile", default="auto")
        return xla_pays(self.model, self.train.size) if asked == "auto" else asked

    def _load_state(self, run: RunDirectory) -> Any:
        from dltool.procedures.training_state import Position, TrainingState

        arrays, plain = run.load_state()
        self.selector.restore(plain["selected"], run)
        state = TrainingState(Position(**plain["position"]), arrays, plain["callbacks"], plain["history"], plain["stopped"])
        if state.position.step > self.steps:
            raise DataError(f"{run / runs.STATE}: is of an epoch of more batches than this recipe's. Train again.")
        return state

    # -- results ---------------------------------------------------------------------------------------

    def _finish(self, run: RunDirectory, history: list[dict[str, float]], keeper: _Keeper) -> dict[str, Any]:
        from dltool.visualization.history import plot_history

        selected = self.selector.apply(self.model)
        figures = {}
        with self._explained():
            for name in self.data.splits:
                pipeline = self.data.pipeline(name, self.data.evaluation_batch(self.batch_size))
                figures[name] = self.evaluation.run(pipeline)
        metrics: dict[str, Any] = {
            "recipe": self.recipe.name,
            **figures,
            "selected": selected,
            "epochs": len(history),
            "parameters": self.model.count_params(),
            "seconds": keeper.seconds,
            "examples": {name: split.size for name, split in self.data.splits.items()},
        }
        if self.model.count_params() <= FEW_WEIGHTS:
            metrics["weights"] = {w.path: w.numpy().tolist() for w in self.model.weights}
        run.save_model(self.model)
        run.write_history(history)
        with runs.atomic(run / runs.PICTURE) as file:
            plot_history(history, file, self.recipe.name, selected["epoch"])
        run.write_json(runs.METRICS, metrics)
        return metrics

    def _divergence(self, what: str, run: RunDirectory, keeper: _Keeper) -> str:
        kept = f"The state after epoch {keeper.saved_epoch} is in {run}." if keeper.saved_epoch else "No epoch was complete."
        return f"{what}. {kept} Lower the learning rate, clip gradients (clipnorm) or check the data's scale."

    def _explained(self) -> _Explained:
        return _Explained(self.data)


class _Explained:
    """Errors of TensorFlow's kernels in one line: a broken file of a stream, memory, or what the kernel says."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        import tensorflow as tf

        if not isinstance(error, tf.errors.OpError):
            return
        if (explained := self.data.explain(error)) is not None:
            raise explained from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise UsageError("out of memory: lower fit.batch_size or the model's size") from error
        raise DataError(f"TensorFlow stopped: {build.one_line(error)}") from error


class Selector:
    """Keeps the weights of the best epoch.

    Args:
        monitor: the figure that decides, None for the last epoch.
        mode: "min" or "max".
    """

    def __init__(self, monitor: str | None, mode: str) -> None:
        self.monitor, self.mode = monitor, mode
        self.epoch: int | None = None
        self.value: float | None = None
        self.weights: list[Any] | None = None

    def consider(self, row: Mapping[str, float], model: Any) -> None:
        if self.monitor is None:
            self.epoch = int(row["epoch"])
            return
        value = row.get(self.monitor)
        if value is None or math.isnan(value):
            return
        better = self.value is None or (value < self.value if self.mode == "min" else value > self.value)
        if better:
            self.epoch, self.value, self.weights = int(row["epoch"]), value, model.get_weights()

    def apply(self, model: Any) -> dict[str, Any]:
        """Put the best weights into the model; what was selected."""
        if self.weights is not None:
            model.set_weights(self.weights)
        return self.plain()

    def plain(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "mode": self.mode, "epoch": self.epoch, "value": self.value}

    def file(self) -> str | None:
        return f"checkpoint/best-{self.epoch}.npz" if self.weights is not None else None

    def restore(self, plain: Mapping[str, Any], run: RunDirectory) -> None:
        if (plain["monitor"], plain["mode"]) != (self.monitor, self.mode):
            return  # another rule, accepted by the user: it starts afresh
        self.epoch, self.value = plain["epoch"], plain["value"]
        if self.monitor is not None and self.epoch is not None:
            arrays, _ = run.load_state(f"checkpoint/best-{self.epoch}.npz")
            self.weights = [arrays[str(index)] for index in range(len(arrays))]


class _Keeper:
    """Watches a training: chooses the best epoch, keeps the state on disk, shows progress, obeys signals."""

    def __init__(
        self, run: RunDirectory, selector: Selector, progress: TrainingProgress, interruption: Interruption
    ) -> None:
        self.run, self.selector, self.progress, self.interruption = run, selector, progress, interruption
        self.saved_at = time.perf_counter()
        self.saved_epoch = 0
        self.seconds = 0.0
        self._pending: Any | None = None

    def begun(self, procedure: GradientDescent) -> None:
        self.seconds = procedure.position.seconds
        self.saved_epoch = procedure.position.epoch
        self.progress.begun(procedure)

    def advanced(self, procedure: GradientDescent) -> None:
        self.seconds = procedure.position.seconds
        self.progress.advanced(procedure)
        if self.interruption.signal is not None:
            position = procedure.position
            self._write(procedure.state())
            self._stop(f"after step {position.total_steps} (epoch {position.epoch + 1}, batch {position.step})")

    def epoch_ended(self, procedure: GradientDescent, row: dict[str, float]) -> None:
        self.seconds = procedure.position.seconds
        self.selector.consider(row, procedure.model)
        self.progress.epoch_ended(procedure, row)
        self._pending = procedure.state()
        if time.perf_counter() - self.saved_at >= SECONDS_BETWEEN_CHECKPOINTS or self.interruption.signal is not None:
            self.save_pending()
        if self.interruption.signal is not None:
            self._stop(f"after epoch {procedure.position.epoch}")

    def save_pending(self) -> None:
        """Write the last epoch's state if it was not yet."""
        if self._pending is not None:
            self._write(self._pending)

    def _write(self, state: Any) -> None:
        best = self.selector.file()
        if best is not None and not (self.run / best).is_file():
            self.run.save_state({str(index): array for index, array in enumerate(self.selector.weights)}, {}, best)
        plain = {
            "position": vars(state.position),
            "callbacks": state.callbacks,
            "history": state.history,
            "stopped": state.stopped,
            "selected": self.selector.plain(),
        }
        self.run.save_state(state.arrays, plain)
        self.run.write_history(state.history)
        for old in (self.run / "checkpoint").glob("best-*.npz"):
            if best is None or old.name != Path(best).name:
                old.unlink()
        self._pending = None
        self.saved_epoch, self.saved_at = state.position.epoch, time.perf_counter()

    def _stop(self, where: str) -> None:
        raise InterruptedRun(
            f"interrupted {where}; the state is saved. Go on with: dltool train {self.run} --resume",
            self.interruption.signal,
        )


def _resolved(recipe: Recipe) -> Recipe:
    """The recipe as it runs again from any folder: paths of the data made absolute."""

    def absolute(value: Value, key: str = "") -> Any:
        if value.is_mapping:
            return {k: absolute(item, str(k)) for k, item in value.data.items()}
        if isinstance(value.data, str) and (key == "path" or key.endswith("_path")):
            return os.path.abspath(value.data)
        return value.plain()

    plain = recipe.plain()
    plain["data"]["dataset"] = absolute(recipe.get("data", "dataset"))
    plain.setdefault("seed", DEFAULT_SEED)
    text = recipes.from_text(Recipe(_value(plain), recipe.file, recipe.purpose).to_yaml(), recipe.file)
    return Recipe(text, recipe.file, recipe.purpose)


def _value(plain: Any) -> Value:
    place = Place("", 1, 1)
    if isinstance(plain, dict):
        return Value({key: _value(item) for key, item in plain.items()}, place)
    if isinstance(plain, list):
        return Value(tuple(map(_value, plain)), place)
    return Value(plain, place)


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two plain recipes differ, a line each: "fit.epochs: 10 -> 20"."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [line for key in keys for line in differences(old.get(key), new.get(key), recipes.join(path, key))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for index, pair in pairs for line in differences(*pair, f"{path}[{index}]")]
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]


def _check_resumable(
    run: RunDirectory, resolved: Recipe, out: Path | None, accept_changes: bool, progress: TrainingProgress
) -> None:
    if out is None:
        raise UsageError("--resume needs the run: give --out RUN, or the run directory in place of the recipe")
    run.check_is_run()
    old = recipes.from_text((run / runs.RECIPE).read_text(encoding="utf-8"), str(run / runs.RECIPE)).plain()
    changed = differences(old, resolved.plain())
    if changed and not accept_changes:
        listed = "\n  ".join(changed)
        raise UsageError(f"{run}: the recipe has changed since:\n  {listed}\nUse --accept-changes to go on with it.")
    for line in changed:
        progress.say(f"changed since: {line}")


def _check_same_data(run: RunDirectory, data: Data) -> None:
    if not (run / runs.DATA).is_file():
        return
    old = run.read_json(runs.DATA)
    for name in ("train_size", "validation_size", "test_size", "num_classes", "class_names"):
        new = data.facts.get(name)
        new = list(new) if isinstance(new, tuple) else new
        if old.get(name) != new:
            raise DataError(f"{run}: the data have changed since ({name} was {old.get(name)}, is {new}). Train anew.")


def _seed_again(seed: int) -> None:
    """Forget what checking the recipe created and drew, so that names and weights do not depend on it."""
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)


def _write_environment(run: RunDirectory, device: str, seed: int, resume: bool) -> None:
    import keras
    import numpy
    import tensorflow as tf

    session = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "host": {"system": platform.platform(), "cpus": os.cpu_count(), "gpus": _gpu_names()},
        "device": device,
        "seed": seed,
        "versions": {
            "dltool": __version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": numpy.__version__,
        },
        "git_commit": _git_commit(),
    }
    before = run.read_json(runs.ENVIRONMENT)["sessions"] if resume and (run / runs.ENVIRONMENT).is_file() else []
    run.write_json(runs.ENVIRONMENT, {"sessions": [*before, session]})


def _gpu_names() -> list[str]:
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def _git_commit() -> str | None:
    """The commit of the working folder, "-dirty" where files differ from it; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _shapes(tensors: Any) -> str:
    import tensorflow as tf

    shapes = [str(tuple(tensor.shape)) for tensor in tf.nest.flatten(tensors)]
    return ", ".join(shapes)
