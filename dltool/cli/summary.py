"""dltool summary: what each layer of a recipe's or a run's model gives and costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dltool.data.texts import TextDataset
from dltool.data.translation import TranslationDataset
from dltool.errors import DltoolError, Mistakes, RecipeError, UsageError
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output
from dltool.recipe import absent_data, build, data_facts
from dltool.recipe import reading as recipe
from dltool.recipe.data import DEFAULT_BATCH_SIZE, reading, selected
from dltool.runs import directory as runs
from dltool.runs import opened
from dltool.runs.opened import OpenedRun
from dltool.runs.preparation import DEFAULT_SEED, Preparation
from dltool.training import backend

LARGEST_INPUT = 2**31  # values an example: beyond it sizes of weights leave TensorFlow's 64-bit integers


def run(
    source: str,
    overrides: Sequence[str],
    *,
    batch_size: int | None,
    input_shape: str | None,
    classes: int | None,
    plot: Path | None,
    overwrite: bool,
    form: str,
    write: Callable[[str], None],
) -> None:
    """Write a row a layer and the totals; draw the graph if asked for."""
    import pandas as pd

    mistakes, facts = Mistakes(), {}
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    with mistakes:
        facts = _facts(input_shape, classes)
    mistakes.finish(lambda: build.load_any(source, overrides))
    model, size = _model(source, overrides, facts)
    from dltool.graph.summary import summary

    try:
        rows, totals = summary(model, batch_size or size)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from error
    if plot is not None:
        from dltool.output.graph import plot_graph

        shape = ", ".join(" x ".join(map(str, tensor.shape[1:])) for tensor in model.inputs)
        with output(plot) as file:
            plot_graph(rows, shape, file, plot.suffix[1:].lower(), model.name)
    layers = pd.DataFrame(rows)
    layers[["multiply_adds", "activation_bytes"]] = layers[["multiply_adds", "activation_bytes"]].astype("Int64")
    report = {"layers": layers, "total": pd.DataFrame([totals], dtype="object")}
    write(tables.render(report, form))


def _model(source: str, overrides: Sequence[str], given: dict[str, Any]) -> tuple[Any, int]:
    """The model, nothing adapted or trained, and the recipe's batch size."""
    is_run = opened.is_run(source)
    if is_run and not overrides and not given:
        run = OpenedRun(source)
        opened.configure([run], "auto")
        return run.model, run.recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)
    path = str(Path(source) / runs.RECIPE) if is_run else source
    one = recipe.load(path, overrides) if given or _is_declared(path, overrides) else build.load(path, overrides)
    facts = given or _facts_of_data(one)
    if "features" in facts:  # of a table: its encoding has no shape before it is adapted
        prepared = Preparation.of(one)
        return prepared.model, prepared.batch_size
    backend.configure(dtype_policy=one.setting("dtype_policy"))
    build.check(one)
    backend.begin_anew(one.setting("seed", default=DEFAULT_SEED), one.setting("dtype_policy"))
    try:
        return _outline(one, facts), one.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)
    except RecipeError as error:
        if not given or " no fact " not in str(error):
            raise
        remedy = "leave out --input-shape" if "num_classes" in given else "give --classes, or leave out --input-shape"
        raise UsageError(f"{error} To have it, {remedy}.") from error


def _is_declared(path: str, overrides: Sequence[str]) -> bool:
    """Whether the recipe declares facts of its data, which then need not be there."""
    return recipe.read(path, overrides)[0].setting("data", "declared") is not None


def _outline(one: recipe.Recipe, facts: dict[str, Any]) -> Any:
    """The model, its weights of known shapes but without values: those of VGG-19 would take 575 MB."""
    import keras

    if "rows" in facts:  # the states of recurrent layers are variables that can't be made without values
        return build.model(one, facts, None)
    with keras.StatelessScope(initialize_variables=False):
        return build.model(one, facts, None)


def _facts_of_data(one: recipe.Recipe) -> dict[str, Any]:
    dataset = data_facts.dataset_of(one)
    try:
        if isinstance(dataset, TranslationDataset):  # whose vocabulary is that of the training split
            return data_facts.facts(one, dataset)
        if isinstance(dataset, TextDataset):  # counted for a window
            facts = data_facts.facts(one, dataset)
            return facts | {"input_shape": (facts["sequence_length"],)}
        with reading():
            absent_data.check(one, dataset)
            return dict(selected(one, dataset).facts())
    except RecipeError:
        raise
    except DltoolError as error:
        remedy = "Or give --input-shape and --classes, which need no data."
        raise type(error)(f"{error} {remedy}") from error


def _facts(input_shape: str | None, classes: int | None) -> dict[str, Any]:
    """Facts that take the place of the data's, empty where none is given."""
    if input_shape is None:
        if classes is not None:
            raise UsageError("--classes goes with --input-shape")
        return {}
    try:
        shape = tuple(int(size) for size in input_shape.replace("x", ",").split(","))
        if not shape or min(shape) < 1:
            raise ValueError
    except ValueError:
        raise UsageError(f"--input-shape '{input_shape}': write sizes without the batch, such as 224,224,3") from None
    if math.prod(shape) >= LARGEST_INPUT:
        raise UsageError(f"--input-shape '{input_shape}': an example must have less than {LARGEST_INPUT:,} values")
    return {"input_shape": shape, **({"num_classes": classes} if classes is not None else {})}
