"""Models that callbacks kept in a run while it was trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.data.formats import saved_models
from dltool.errors import DataError, UsageError
from dltool.runs import directory

if TYPE_CHECKING:
    from dltool.filters.source import Source

ENDINGS = (".keras", ".weights.h5")


def models(source: Source) -> list[tuple[str, Any]]:
    """Return names and models, ordered by the numbers in file names, the run's own model last.

    Raises:
        UsageError: the run has kept none.
        DataError: a file is no model, or weights of another.
    """
    import keras

    from dltool.output.picture_files import can_write_gif

    if not can_write_gif():
        raise UsageError("--checkpoints: Pillow was built without GIF. Install another, or leave the film out.")
    folder, own = source.directory.path, source.directory / directory.MODEL
    files = [path for path in folder.rglob("*") if path.name.endswith(ENDINGS) and path != own]
    files = [path for path in files if not path.name.startswith(".")]
    if not files:
        remedy = "Train with the callback ModelCheckpoint: {filepath: 'epochs/{epoch:03d}.keras'}."
        raise UsageError(f"--checkpoints: {source} has kept none. {remedy}")
    found = []
    for path in sorted(files, key=lambda path: _order(path.relative_to(folder))):
        try:
            if path.name.endswith(".weights.h5"):
                saved_models.check_hdf5(path)
                model = keras.models.clone_model(source.model)
                model.load_weights(path)
            else:
                model = saved_models.load(path, compile=False)
        except saved_models.RefusedModelError:
            raise
        except Exception as error:  # Keras raises many kinds on a file that is no model
            raise DataError(f"{path}: is no readable model, or weights of another. Remove it.") from error
        found.append((path.stem.removesuffix(".weights"), model))
    return [*found, ("selected", source.model)]


def layer(model: Any, path: str) -> Any:
    """Return the layer of that path.

    Raises:
        DataError: the checkpoint is of another model.
    """
    from dltool.graph.calls import calls

    found = next((call.layer for call in calls(model) if call.path == path), None)
    if found is None:
        raise DataError(f"--checkpoints: a checkpoint has no layer {path}: it is of another model. Remove it.")
    return found


def _order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sorting key: numbers by their value, everything else by letters."""
    parts = re.findall(r"\d+|\D+", path.as_posix())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
