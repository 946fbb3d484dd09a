"""A recipe's model compiled for its data: what training, init-stats and a range test begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dltool.errors import DltoolError, Place, Problem, RecipeError, UsageError, messages, one_line
from dltool.recipe import build, declarations, kept_plugins, plugins, reading, wiring
from dltool.recipe.data import DEFAULT_BATCH_SIZE, Data
from dltool.recipe.reading import Recipe
from dltool.runs import directory, opened, resume
from dltool.runs.opened import OpenedRun
from dltool.training import backend, metric_readings, outputs

if TYPE_CHECKING:
    from dltool.data.base import Dataset, Vocabulary
    from dltool.data.pipelines.base import Pipeline

DEFAULT_SEED = 0


def prepare(source: str, overrides: Sequence[str] = (), *, device: str = "auto") -> Preparation:
    """A recipe's model ready for its first step; of a run directory, with the weights that it has learned.

    Args:
        source: a recipe's file or bundled name, or a run directory.
        overrides: `key=value` texts.
        device: "auto", "cpu" or "gpu".
    Raises:
        RecipeError, UsageError, DataError: as `experiment.train`; also if overrides change the shape of a run's model.
    """
    if not opened.is_run(source):
        return Preparation.of(build.load(source, overrides), device)
    run = OpenedRun(source)
    one = reading.load(run.directory / directory.RECIPE, overrides)
    dataset = resume.own_dataset(one, run.directory)
    prepared = Preparation.of(one, device, run.vocabulary, dataset)
    weights = run.model.get_weights()
    try:
        prepared.model.set_weights(weights)
    except ValueError as error:
        raise UsageError(f"{run}: its weights do not fit the model as overridden: {one_line(error)}") from error
    from dltool.graph import keras_internals

    for layer in keras_internals.inner_layers(prepared.model):
        if hasattr(layer, "finalize_state"):  # Normalization keeps what it computes of its weights
            layer.finalize_state()
    return prepared


def configure(recipe: Recipe, device: str = "auto") -> None:
    """Configure TensorFlow as a recipe says, and check what only Keras can tell of it.

    Args:
        device: "auto", "cpu" or "gpu".
    Raises:
        RecipeError: something is wrong with the recipe.
        UsageError: the device is "gpu" and there is none.
    """
    deterministic = recipe.setting("deterministic", default=False)
    backend.configure(device=device, deterministic=deterministic, seed=seed_of(recipe))
    build.check(recipe)


def read_data(
    recipe: Recipe, device: str = "auto", vocabulary: Vocabulary | None = None, dataset: Dataset | None = None
) -> Data:
    """Return a recipe's data in splits, once TensorFlow is configured and the recipe checked.

    Args:
        vocabulary: a run's own, for its text.
        dataset: the recipe's, if it is there already.
    Raises:
        RecipeError, UsageError, DataError: as `configure` and `Data.of`.
    """
    dataset = dataset or build.dataset(recipe.section("data", "dataset"))
    configure(recipe, device)
    return Data.of(recipe, dataset, vocabulary)


def begin(recipe: Recipe, seed: int | None = None) -> int:
    """Start afresh with a recipe's dtype policy and seed, before a model is built; return the seed.

    Args:
        seed: in place of the recipe's.
    """
    seed = seed_of(recipe) if seed is None else seed
    backend.begin_anew(seed, recipe.setting("dtype_policy"))
    return seed


def seed_of(recipe: Recipe) -> int:
    """Return a recipe's seed."""
    seed: int = recipe.setting("seed", default=DEFAULT_SEED)
    return seed


class Preparation:
    """A model compiled and built for its data, ready for its first step: the same whatever was built before.

    Args:
        recipe: checked by `configure`.
        data: the recipe's.
        seed: of weights and the order of examples; by default the recipe's.
    Raises:
        RecipeError: model, loss, metrics or settings do not fit the data or each other.
    """

    def __init__(self, recipe: Recipe, data: Data, seed: int | None = None) -> None:
        self.recipe, self.data, self.seed = recipe, data, begin(recipe, seed)
        self.batch_size: int = recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)
        self.epochs = recipe.epochs
        self.has_optimizer = declarations.uses_optimizer(recipe.procedure)
        self.train = data.pipeline("train", self.batch_size, training=True)
        self.validation = self._validation()
        self.steps = self._steps_per_epoch()
        messages.status("building the model ...")
        with data.explained():
            self.model = build.model(recipe, data.facts, self.train.inputs)
            build.compile(recipe, self.model, data.facts, self.steps)
            self.procedure = build.procedure(recipe, self.model, self.steps, directory.load_model, data.facts)
            self.augment = build.augmentation(recipe, data.facts, self.train.inputs, self.model.loss)
            self._check_outputs()
            self._check_own_python()
            self.logs = self._build_state()  # names of the loss and the metrics
            self.notes = metric_readings.notes(self.model)  # where loss and metrics read outputs in different ways
        if recipe.setting("compile", "run_eagerly", default=False):
            import tensorflow as tf

            tf.config.run_functions_eagerly(True)
        self.class_weight = self._class_weight()

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        device: str = "auto",
        vocabulary: Vocabulary | None = None,
        dataset: Dataset | None = None,
    ) -> Preparation:
        """Read a recipe's data and prepare its model; arguments as of `read_data`."""
        return cls(recipe, read_data(recipe, device, vocabulary, dataset))

    def fit_arguments(self) -> dict[str, Any]:
        """Return the arguments of `procedure.fit` except model and observers: data, epochs and execution."""
        setting = self.recipe.setting
        return {
            "train": self.train,
            "validation": self.validation,
            "epochs": self.epochs,
            "augment": self.augment,
            "shuffle": setting("fit", "shuffle", default=True),
            "class_weight": self.class_weight,
            "steps_per_epoch": setting("fit", "steps_per_epoch"),
            "validation_steps": setting("fit", "validation_steps"),
            "validation_freq": setting("fit", "validation_freq", default=1),
            "steps_per_execution": self._steps_per_execution(),
            "jit_compile": self._jit_compile(),
            "seed": self.seed,
        }

    def _validation(self) -> Pipeline | None:
        """The validation split's batches; settings of validation without one are an error."""
        if "validation" not in self.data.splits:
            for key in ("validation_batch_size", "validation_steps", "validation_freq"):
                value = self.recipe.get("fit", key)
                if value is not None and value.data is not None:
                    message = "there is no validation split: set data.validation_split, or remove this."
                    raise RecipeError([Problem(value.key or value.place, f"fit.{key}", message)])
            return None
        size = self.recipe.setting("fit", "validation_batch_size")
        if size is None:  # validation_steps counts batches of batch_size, as Keras does
            counted = self.recipe.setting("fit", "validation_steps") is not None
            size = self.batch_size if counted else self.data.evaluation_batch(self.batch_size)
        elif self.data.rows is not None and size != self.data.rows:
            message = f"the model's state has {self.data.rows} rows, those of fit.batch_size. Remove this."
            raise RecipeError([Problem(self._place("validation_batch_size"), "fit.validation_batch_size", message)])
        return self.data.pipeline("validation", size)

    def _place(self, key: str) -> Place:
        value = self.recipe.section("fit", key)
        return value.key or value.place

    def _steps_per_epoch(self) -> int:
        asked = self.recipe.get("fit", "steps_per_epoch")
        if asked is None or asked.data is None:
            return self.train.steps
        if asked.data > self.train.steps:
            message = f"must be at most {self.train.steps}, the batches of the training split. Got {asked.data}."
            raise RecipeError([Problem(asked.place, "fit.steps_per_epoch", message)])
        found: int = asked.data
        return found

    def _build_state(self) -> list[str]:
        """Create optimizer slots and metric variables on a first batch; the names of the logs."""
        from dltool.training.counting import count
        from dltool.training.evaluation import figures_of

        model = self.model
        count(model)
        x, y = next(self.train.batches(1))
        predicted = outputs.every_output(model, x)
        self._fitting("loss", lambda: model.compute_loss(x, y, predicted, None, training=False), predicted, y)
        self._fitting("metrics", lambda: model.compute_metrics(x, y, predicted, None), predicted, y)
        self._check_metrics()
        if self.has_optimizer:
            model.optimizer.build(model.trainable_variables)
        logs = list(figures_of(model))
        model.reset_metrics()
        return ["loss", *(name for name in logs if name != "loss")]

    def _fitting(self, key: str, action: Callable[[], Any], predicted: Any, y: Any) -> None:
        """Compute the loss or the metrics once; what they raise is about the recipe."""
        try:
            action()
        except DltoolError:
            raise
        except Exception as error:  # Keras and TensorFlow raise many kinds
            value = self.recipe.get("compile", key) or self.recipe.section("compile")
            said = (plugins.place_in(error) + one_line(error)).removesuffix(".")
            message = f"does not fit the model's outputs and the data's targets: {said}. "
            message += f"Outputs have shape {_shapes(predicted)}, targets {_shapes(y)}."
            raise RecipeError([Problem(value.place, f"compile.{key}", message)]) from error

    def _check_metrics(self) -> None:
        """Raise if a metric gives no figure of this model."""
        value = self.recipe.section("compile")
        problems = []
        for name, one in outputs.each(self.model).items():
            for metric in metric_readings.metrics_of(one):
                if (message := metric_readings.problem(metric, one)) is not None:
                    place = (value.get("metrics") or value.get("weighted_metrics") or value).place
                    path = f"compile.metrics{'.' * bool(name)}{name}.{type(metric).__name__}"
                    problems.append(Problem(place, path, message))
        if problems:
            raise RecipeError(problems)

    def _check_own_python(self) -> None:
        """Raise if a model with own classes can't be saved and made again: its run could never be opened."""
        import keras

        if not kept_plugins.used_by(self.recipe.root):
            return
        try:
            type(self.model).from_config(self.model.get_config())
            keras.saving.deserialize_keras_object(self.model.get_compile_config())
        except Exception as error:  # whatever a class of the user raises
            said = plugins.place_in(error) + one_line(error)
            message = f"can't be saved and opened again: {said} Give the own class a get_config."
            raise RecipeError([Problem(self.recipe.section("model").place, "model", message)]) from error

    def _check_outputs(self) -> None:
        """Raise if outputs do not fit the data's targets, at the layers that give them, or the loss does not."""
        problems = []
        for name, message in self.data.task.problems_of_outputs(self.model, self.data.facts).items():
            value = self.recipe.section("model")
            place, path = value.place, "model"
            if value.is_list:
                entries, given = wiring.entries(value), wiring.outputs(self.recipe.root) or [name]
                wanted = name or given[0]
                entry = next((one for one in entries if one.name == wanted), entries[-1])
                place, path = entry.place, entry.at
            problems.append(Problem(place, path, message))
        if not problems and (problem := self.data.task.problem_of_loss(self.model, self.data.facts)) is not None:
            place = (self.recipe.get("compile", "loss") or self.recipe.section("compile")).place
            problems.append(Problem(place, "compile.loss", problem))
        if problems:
            raise RecipeError(problems)

    def _class_weight(self) -> Any:
        from dltool.training.class_weighting import class_weights

        value = self.recipe.get("fit", "class_weight")
        if value is None or value.data is None:
            return None
        if (message := self.data.task.problem_of_class_weight()) is not None:
            raise RecipeError([Problem(value.place, "fit.class_weight", message)])
        weights, facts = value.plain(), self.data.facts
        try:
            counts = self.data.class_counts("train") if weights == "balanced" else None
            names = facts.get("class_names") or ()
            return self.data.task.weights(class_weights(weights, facts.get("num_classes") or 0, names, counts), facts)
        except ValueError as error:
            raise RecipeError([Problem(value.place, "fit.class_weight", str(error))]) from error

    def _steps_per_execution(self) -> int | None:
        asked = self.recipe.setting("compile", "steps_per_execution", default="auto")
        return None if asked == "auto" else asked

    def _jit_compile(self) -> bool:
        from dltool.training.fusion.fusion import xla_pays

        asked = self.recipe.setting("compile", "jit_compile", default="auto")
        return xla_pays(self.model, *self.procedure.models) if asked == "auto" else asked


def _shapes(tensors: Any) -> str:
    import tensorflow as tf

    return ", ".join(str(tuple(tensor.shape)) for tensor in tf.nest.flatten(tensors))
