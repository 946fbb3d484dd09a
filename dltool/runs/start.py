"""A run whose training has not begun: a run directory with weights to start from."""

from __future__ import annotations

from pathlib import Path

from dltool.recipe import build, kept_plugins
from dltool.runs import bases, directory, environment, resume
from dltool.runs.directory import RunDirectory
from dltool.runs.preparation import DEFAULT_SEED, Preparation
from dltool.runs.saved_state import SavedState
from dltool.runs.selection import Selector


def check_free(out: Path, overwrite: bool) -> None:
    """Raise unless a run may be written at `out`.

    Raises:
        UsageError: something is there and `overwrite` is off, or the place cannot be written.
    """
    RunDirectory(out).check_free(overwrite)


def write_start(prepared: Preparation, out: Path, *, overwrite: bool, device: str) -> RunDirectory:
    """Write a run directory from which `dltool train OUT --resume` takes its first step with the model's weights.

    It holds what training leaves behind (recipe, facts of the data, environment, model) and a training state after no
    step: weights, optimizer slots, metrics and seed generators as they are in `prepared`.

    Args:
        prepared: its model with the weights to start from.
        out: the run directory.
        device: "auto", "cpu" or "gpu", for environment.json.
    Raises:
        UsageError: as `check_free`, the recipe starts from what is there, or another training is in it.
    """
    from dltool.training.training_state import Position, TrainingState, capture_arrays

    run = RunDirectory(out)
    run.check_free(overwrite)
    recipe = prepared.recipe
    bases.check_outlive(run, recipe)
    resolved = resume.resolved(recipe, DEFAULT_SEED)
    resume.check_edited(run, resolved)
    with run.locked():
        callbacks = build.callbacks(recipe, run.path, resume.recipe_before(run))
        run.start()
        run.write_recipe(resolved.to_yaml())
        run.write_json(directory.DATA, prepared.data.facts)
        if found := bases.records(recipe):
            run.write_json(directory.BASES, {"bases": found})
        if prepared.data.vocabulary is not None:
            run.write_vocabulary(prepared.data.vocabulary.files())
        run.write_plugins(kept_plugins.files_of(kept_plugins.used_by(recipe.root, prepared.data.dataset.task)))
        run.write_json(directory.ENVIRONMENT, {"sessions": [environment.describe(device, prepared.seed)]})
        run.save_model(prepared.model)
        arrays = capture_arrays(prepared.model, prepared.augment, ())
        state = TrainingState(Position(), arrays, [{} for _ in callbacks])  # callbacks have gathered nothing yet
        SavedState(state, Selector(None, "min").plain()).write(run)
    return run
