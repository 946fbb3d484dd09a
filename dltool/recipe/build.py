"""Build a recipe's objects; report constructor errors at their file, line and column."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltool.errors import DataError, DltoolError, Problem, RecipeError, one_line
from dltool.library.layers._wiring import Composite
from dltool.recipe import (
    adaptation,
    callback_paths,
    catalogue,
    feature_columns,
    kept_plugins,
    layer_graph,
    module_outlines,
    reading,
    wiring,
)
from dltool.recipe.builder import Builder, parameters
from dltool.recipe.reading import Recipe, Value, join, object_name
from dltool.recipe.signatures import Outlined
from dltool.tasks import base as tasks

__all__ = [
    "augmentation",
    "callbacks",
    "check",
    "compile",
    "dataset",
    "load",
    "model",
    "parameters",
    "procedure",
]


def check(recipe: Recipe) -> None:
    """Check names and arguments of everything in the recipe; what needs no fact of the data is built once.

    Raises:
        RecipeError: all problems at once.
    """
    builder = Builder(facts=None, makers={"optimizers": _optimizer(1), "layers": _layer})
    check_objects(builder, recipe)
    if (policy := recipe.get("dtype_policy")) is not None:
        builder.attempt(lambda: _policy(policy.data), policy, "dtype_policy")
    builder.finish()


def load(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """`recipe.load`, with what is wrong with any object's name and arguments; no Keras, no TensorFlow.

    What only a class of Keras itself can tell of its arguments' values is left to `check`.

    Raises:
        RecipeError: all problems at once.
        UsageError: there is no such recipe, or a run's own Python is not given.
        DataError: the recipe is right, but its data cannot be read.
    """
    recipe, problems = reading.read(source, overrides)
    if Path(recipe.file).name == "recipe.yaml":  # of a run: its words may be those of own Python
        kept_plugins.check(Path(recipe.file).parent, hashes=False)
    objects = Builder(facts=None, find=catalogue.outline)
    check_objects(objects, recipe)
    is_faulty = bool(problems or objects.problems)  # then no plugin's code runs, which may import TensorFlow
    builder = Builder(facts=None, find=catalogue.outline if is_faulty else catalogue.find_light)
    builder.problems += problems
    failure: DltoolError | None = None
    try:
        if (value := recipe.root.get("data", "dataset")) is not None:
            before = len(builder.problems)
            dataset = builder.build("datasets", value, "data.dataset")
            if len(builder.problems) == before and not isinstance(dataset, Outlined):
                builder.problems += _names_of_wiring(recipe, dataset)
    except DltoolError as error:
        failure = error
    builder.problems += objects.problems
    module_outlines.keep()
    builder.finish()
    if failure is not None:
        raise failure
    return recipe


def _names_of_wiring(recipe: Recipe, dataset: Any) -> list[Problem]:
    """Return the names in a recipe's wiring that are neither layers nor data; none where the data can't be read."""
    try:
        targets = dataset.target_names()
        inputs = dataset.input_names() if wiring.is_wired(recipe.root) else ()
    except (OSError, ValueError, DltoolError):
        return []  # what is wrong with the data is reported when they are read
    return wiring.check_names(recipe.root, list(inputs) or [wiring.INPUT], list(targets))


def load_any(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe, or the recipe of a run directory, as `load` does."""
    path = Path(source) / "recipe.yaml"
    return load(path if reading.holds(path.is_file) else source, overrides)


def check_objects(builder: Builder, recipe: Recipe) -> None:
    """Build everything that a recipe names, as far as its outer form allows; the builder keeps the problems."""
    model, procedure = recipe.get("model"), recipe.get("procedure")
    if model is not None and model.is_list:
        builder.layers(wiring.entries(model))
    elif model is not None and object_name(model) is not None:
        builder.build("applications", model, "model")
    section = recipe.get("compile")
    if section is not None and section.is_mapping:
        builder.arguments_of_compile(recipe)
    for kind, keys in (("layers", ("data", "augment")), ("callbacks", ("fit", "callbacks"))):
        value = recipe.get(*keys)
        if value is not None and value.is_list:
            builder.listed(kind, value, ".".join(keys))
    if procedure is not None:
        builder.build("procedures", procedure, "procedure")


def dataset(value: Value, path: str = "data.dataset") -> Any:
    """The dataset that a value names; no Keras, no TensorFlow."""
    builder = Builder(facts={})
    built = builder.build("datasets", value, path)
    builder.finish()
    return built


def model(recipe: Recipe, facts: Mapping[str, Any], batches: Callable[[], Any] | None) -> Any:
    """The recipe's model, built for the data's shape; layers with `adapt` are adapted.

    Args:
        facts: the dataset's facts; `input_shape` without the batch axis, or `features` of a table; `rows`: the batch
            size of layers that keep their state.
        batches: gives a tf.data.Dataset of batches of training inputs, for `adapt`; None: nothing is adapted.
    """
    catalogue.import_saved_objects()  # a pre-trained model may hold any of them
    builder = Builder(facts, makers={"layers": _layer})
    value = recipe.root["model"]
    name = _scope(recipe.name)
    if value.is_list:
        return layer_graph.build(builder, recipe.root, facts, batches, name)
    built = builder.build("applications", value, "model")
    builder.finish()
    import keras

    if isinstance(built, Composite):  # preprocessing, then the net
        inputs = keras.Input(facts["input_shape"])
        built = keras.Model(inputs, built(inputs), name=name)
    if not isinstance(built, keras.Model):
        message = f"gives {type(built).__name__}, which is no Keras model"
        raise RecipeError([Problem(value.place, "model", message)])
    shape = facts.get("input_shape")
    if (problem := tasks.of(facts).problem_of_architecture(built)) is not None:
        message = f"takes other inputs: {problem}. Name another model or other data."
        raise RecipeError([Problem(value.place, "model", message)])
    if shape is not None and tuple(built.inputs[0].shape[1:]) != tuple(shape):
        message = f"takes inputs of shape {tuple(built.inputs[0].shape[1:])}, the data have {tuple(shape)}"
        raise RecipeError([Problem(value.place, "model", f"{message}. Set input_shape: ${{data.input_shape}}.")])
    return built


def augmentation(
    recipe: Recipe, facts: Mapping[str, Any], batches: Callable[[], Any] | None = None, loss: Any = None
) -> Any | None:
    """`data.augment` as one Sequential of images or other inputs, or None; layers with `adapt` are adapted.

    Args:
        batches: gives a tf.data.Dataset of batches of training inputs, for `adapt`; None: nothing is adapted.
        loss: the compiled loss, which must suit layers that mix examples.
    """
    import keras

    value = recipe.get("data", "augment")
    if value is None or not value.data:
        return None
    builder = Builder(facts)
    if (are := tasks.of(facts).problem_of_augmentation(facts)) is not None:
        builder.problem(value.place, "data.augment", f"the data are {are}, which layers can't augment")
        builder.finish()
    layers = builder.listed("layers", value, "data.augment")
    builder.finish()
    inputs = x = keras.Input(tuple(facts["input_shape"]))
    for index, (layer, item) in enumerate(zip(layers, value.data, strict=True)):
        path = f"data.augment[{index}]"
        if batches is not None and hasattr(layer, "adapt") and not adaptation.has_given_state(item):
            up_to = functools.partial(keras.Model(inputs, x), training=False) if index else None
            adaptation.run_adapt(builder, functools.partial(adaptation.adapt_to, layer, up_to, batches), item, path)
        before = x
        x = builder.attempt(functools.partial(layer, before), item, path)
        if x is before:
            builder.problem(
                item.place, path, "can't stand in a model: Keras takes its output for its input. Remove it."
            )
        if hasattr(layer, "mix"):
            from dltool.training.augmentation import check_loss

            builder.attempt(functools.partial(check_loss, loss), item, path)
        builder.finish()
    try:
        return tasks.of(facts).augmentation(layers, facts)
    except ValueError as error:
        index = getattr(error, "index", 0)
        raise RecipeError([Problem(value.data[index].place, f"data.augment[{index}]", one_line(error))]) from error


def compile(recipe: Recipe, model: Any, facts: Mapping[str, Any], steps_per_epoch: int) -> None:
    """Compile the model with the recipe's `compile`; "12 epochs" become steps."""
    from dltool.training import metric_readings

    steps = recipe.epochs * steps_per_epoch
    builder = Builder(facts, steps_per_epoch, makers={"optimizers": _optimizer(steps)})
    arguments = builder.arguments_of_compile(recipe)
    builder.finish()
    arguments.setdefault("optimizer", "sgd")  # of no use to the procedure, and without slots that a saved model lacks
    value = recipe.root["compile"]
    builder.attempt(
        lambda: model.compile(**metric_readings.resolved(arguments, model), jit_compile=False), value, "compile"
    )
    builder.finish()
    from dltool.training.scheduled_optimizer import save_with_rate

    save_with_rate(model.optimizer)


def callbacks(recipe: Recipe, directory: Path, before: Recipe | None = None) -> list[Any]:
    """`fit.callbacks`, which write below `directory`, over no files but those of callbacks of the recipe `before`."""
    builder = Builder(facts={}, directory=directory)
    built = builder.listed("callbacks", recipe.get("fit", "callbacks"), "fit.callbacks")
    builder.problems += callback_paths.check_apart(builder.outputs)
    builder.finish()
    if builder.outputs and directory.is_dir():
        earlier = Builder(facts={}, directory=directory)
        if before is not None:
            earlier.listed("callbacks", before.get("fit", "callbacks"), "fit.callbacks")
        callback_paths.check_free(builder.outputs, directory, earlier.outputs)
    return built


def procedure(
    recipe: Recipe,
    model: Any,
    steps_per_epoch: int,
    load: Callable[[Path], Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Any:
    """The way to fit a compiled model, prepared for it: the recipe's `procedure`, by default gradient descent.

    Args:
        load: opens the model of a run directory or file.
        facts: of the data.
    """
    value, facts = recipe.get("procedure"), facts or {}
    if value is None:
        return catalogue.find("procedures", "GradientDescent")()
    builder = Builder(facts, steps_per_epoch, makers={"optimizers": _optimizer(recipe.epochs * steps_per_epoch)})
    built = builder.build("procedures", value, "procedure")
    builder.finish()
    name = object_name(value)
    try:
        built.check_task(facts.get("task"))
        built.prepare(model, steps_per_epoch, load, facts.get("class_names"))
    except DataError as error:
        raise DataError(f"{value.place}: {join('procedure', name)}: {error}") from error
    except ValueError as error:
        place, path = (value.get(name) or value) if value.is_mapping else value, join("procedure", name)
        if keys := getattr(error, "wired", []):
            place, path = layer_graph.locate(value, path, keys)
        raise RecipeError([Problem(place.place, path, f"{one_line(error).removesuffix('.')}.")]) from error
    return built


def _layer(layer_class: Any, **arguments: Any) -> Any:
    """Make a layer; a `FeatureSpace` takes columns of any name."""
    if layer_class.__name__ == "FeatureSpace":
        return feature_columns.feature_space(layer_class, **arguments)
    return layer_class(**arguments)


def _optimizer(steps: int) -> Callable[..., Any]:
    """Return a function that makes the optimizer for a training of `steps` steps, schedules included."""

    def make(optimizer_class: Any, **arguments: Any) -> Any:
        from dltool.training.scheduled_optimizer import make_optimizer

        return make_optimizer(optimizer_class, arguments, steps)

    return make


def _scope(name: str) -> str:
    """A name that TensorFlow takes for a scope: letters and digits of ASCII, '_' and '.'."""
    safe = re.sub(r"[^A-Za-z0-9_.]", "_", name)
    return safe if safe[:1].isalnum() else f"model{safe}"


def _policy(name: str) -> Any:
    import keras

    return keras.dtype_policies.get(name)
