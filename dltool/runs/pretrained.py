"""A run directory of a net that others have trained: ImageNet's classes, and every command that takes a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltool.errors import UsageError
from dltool.errors.wording import suggest
from dltool.recipe import build, catalogue, values
from dltool.recipe.reading import Recipe
from dltool.runs import directory, environment
from dltool.runs.directory import RunDirectory
from dltool.runs.preparation import DEFAULT_SEED
from dltool.training import backend

CLASSES = 1000
RECIPE = """\
# {name} with the weights of ImageNet, as they came.
data:
  dataset: {{ImageFolder: {{path: imagenet, image_size: [{rows}, {columns}], crop_to_aspect_ratio: true}}}}
model:
  {name}: {{weights: imagenet}}
compile: {{optimizer: SGD, loss: SparseCategoricalCrossentropy, metrics: [accuracy]}}
"""


def _check(name: str, out: Path, overwrite: bool) -> None:
    """Raise `UsageError` unless there is a net of this name, and a run may be written at `out`; no Keras."""
    if not catalogue.has("applications", name):
        near = suggest(name, catalogue.known("applications"))
        raise UsageError(f"{name}: there is no net of this name.{near or ' See dltool words applications.'}")
    RunDirectory(out).check_free(overwrite, resumes=False)


def write(name: str, out: Path, *, overwrite: bool, device: str) -> RunDirectory:
    """Write a run directory with a net's weights of ImageNet, of which nothing is trained here.

    Args:
        name: of a net with weights of ImageNet: EfficientNetLite0, or one of `keras.applications`.
        out: the run directory.
        device: "auto", "cpu" or "gpu".
    Raises:
        UsageError: there is no such net, it has no weights of ImageNet, or something is at `out`.
        DataError: the weights are not installed, or neither in Keras's cache nor to be downloaded.
    """
    _check(name, out, overwrite)
    backend.configure(device=device)
    rows, columns, channels = _image_shape(name)
    recipe = _recipe(name, rows, columns)
    from dltool.library.applications import efficientnet_lite0

    facts = {
        "input_shape": (rows, columns, channels),
        "num_classes": CLASSES,
        "class_names": efficientnet_lite0.class_names(),
    }
    build.check(recipe)
    model = build.model(recipe, facts, None)
    build.compile(recipe, model, facts, steps_per_epoch=1)
    run = RunDirectory(out)
    with run.locked():
        run.start()
        run.write_recipe(recipe.to_yaml())
        run.write_json(directory.DATA, facts)
        run.write_json(directory.ENVIRONMENT, {"sessions": [environment.describe(device, DEFAULT_SEED)]})
        run.save_model(model)
    return run


def _recipe(name: str, rows: int, columns: int) -> Recipe:
    text = RECIPE.format(name=name, rows=rows, columns=columns)
    file = f"{name}.yaml"
    return Recipe(values.from_text(text, file), file, "")


def _image_shape(name: str) -> tuple[int, int, int]:
    """Return rows, columns and channels of the images that a net's weights are for."""
    import keras

    application: Any = catalogue.find("applications", name)
    try:
        with keras.StatelessScope(initialize_variables=False):
            net = application(weights=None)
        rows, columns, channels = net.input_shape[1:]
        classes = net.output_shape[-1]
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: is no net with weights of ImageNet.") from error
    if None in (rows, columns) or channels != 3 or classes != CLASSES:
        raise UsageError(f"{name}: is no net with weights of ImageNet.")
    return rows, columns, channels
