"""The run directory: its layout, atomic writes and loading."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dltool.errors import DataError, messages
from dltool.errors.damage import undamaged
from dltool.output.files import atomic, write_rows, writing
from dltool.recipe import kept_plugins, run_files
from dltool.runs.place import RunPlace

RECIPE = "recipe.yaml"
MODEL = "model.keras"
HISTORY = "history.csv"
METRICS = "metrics.json"
ENVIRONMENT = "environment.json"
DATA = "data.json"  # facts of the data as trained: sizes, shapes, class names in the model's order
BASES = "bases.json"  # the pre-trained files that the model started from
PICTURE = "history.png"
FILTERS = "filters"  # what visualize-filters writes unless told otherwise
DISCRIMINATOR = "discriminator.keras"  # of an adversarial training
STATE = "checkpoint/state.npz"
AGAIN = "Train again with --overwrite."  # what to do about a file of a run that cannot be read
VOCABULARY = "vocabulary"  # of a text's tokens: the tokenizer's files
SUMS = "sums.json"  # of the vocabulary's other files the SHA-256
PERCENTILES = ("percentiles.csv", "percentiles.png")  # of ActivationPercentiles, by default
OWN = (METRICS, MODEL, DISCRIMINATOR, HISTORY, ENVIRONMENT, DATA, BASES, PICTURE, FILTERS, *PERCENTILES, VOCABULARY,
       kept_plugins.FOLDER, "checkpoint", RECIPE)  # fmt: skip


class RunDirectory(RunPlace):
    """One training run on disk.

    Every file is written beside its place and renamed, so that it is there whole or not at all.
    """

    def forget_results(self) -> None:
        """Remove what tells of the end of training, before training goes on."""
        names = [name for name in (METRICS, MODEL) if name in run_files.written(self.path)]
        with writing(self.path):
            for name in names:
                (self.path / name).unlink(missing_ok=True)

    # -- writing ---------------------------------------------------------------------------------------

    def write_recipe(self, text: str) -> None:
        """Write the recipe, unless the user has edited the one that is there: `changes.check_edited` saw it agree."""
        if (self.path / RECIPE).is_file() and self.recipe_is_edited():
            return
        self.note()
        self._recipe = run_files.digest(text.encode())
        self._written = (self._written or set()) - {RECIPE}  # so that its digest is written down
        self.note(RECIPE, DATA, ENVIRONMENT)
        self.write_text(RECIPE, text)

    def write_text(self, name: str, text: str) -> None:
        self.note(name)
        with atomic(self.path / name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, json.dumps(value, indent=2, default=_plain) + "\n")

    def write_vocabulary(self, files: Mapping[str, bytes]) -> None:
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        held = {**files, SUMS: json.dumps(sums, indent=2).encode() + b"\n"}
        self.note(*(f"{VOCABULARY}/{name}" for name in held))
        for name, content in held.items():
            with atomic(self.path / VOCABULARY / name) as file:
                file.write(content)

    def write_plugins(self, files: Mapping[str, bytes]) -> None:
        """Keep the own Python that the run is trained with, as `kept_plugins.files_of` gives it."""
        self.note(*(f"{kept_plugins.FOLDER}/{name}" for name in files))
        for name, content in files.items():
            with atomic(self.path / kept_plugins.FOLDER / name) as file:
                file.write(content)

    def read_vocabulary(self) -> dict[str, bytes]:
        """Return the files that `write_vocabulary` wrote, name -> content.

        Raises:
            DataError: one has changed since; runs of older versions have no sums to see it by.
        """
        folder = self.path / VOCABULARY
        with self.reading(VOCABULARY):
            files = {path.name: path.read_bytes() for path in folder.glob("[!.]*") if path.is_file()}
        if SUMS in files:
            with self.reading(f"{VOCABULARY}/{SUMS}"):
                sums = dict(json.loads(files.pop(SUMS)))
            files = {name: content for name, content in files.items() if name in sums}  # others are the user's
            for name, content in files.items():
                if sums[name] != hashlib.sha256(content).hexdigest():
                    raise DataError(f"{folder / name}: is damaged (it is not what was written). {AGAIN}")
        return files

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        self.note(HISTORY)
        write_rows(self.path / HISTORY, rows)

    def save_model(self, model: Any, name: str = MODEL) -> None:
        self.note(name, PICTURE, METRICS)
        temporary = self.path / f".dltool-{os.getpid()}.keras"
        try:
            with writing(self.path / name):
                model.save(temporary)
                temporary.replace(self.path / name)
        finally:
            temporary.unlink(missing_ok=True)

    def save_state(self, arrays: Mapping[str, Any], plain: Mapping[str, Any], name: str = STATE) -> None:
        """Save arrays together with plain values, in one file."""
        import numpy as np

        kept, dtypes = {}, {}
        for key, array in arrays.items():
            dtypes[key] = array.dtype.name
            kept[key] = array.view(np.uint16) if array.dtype.name == "bfloat16" else array
        text = json.dumps({"plain": plain, "dtypes": dtypes}, default=_plain)
        if name == STATE:
            self.note(STATE, HISTORY)
        with atomic(self.path / name) as file:
            np.savez(file, **kept, __plain__=np.frombuffer(text.encode(), np.uint8))

    # -- reading ---------------------------------------------------------------------------------------

    def load_state(self, name: str = STATE) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays and plain values that `save_state` wrote.

        Raises:
            DataError: it is damaged.
        """
        from dltool.data.formats import npy_headers

        with self.reading(name):
            arrays = npy_headers.arrays(self.path / name)
            meta = json.loads(arrays.pop("__plain__").tobytes())
            for key, dtype in meta["dtypes"].items():
                if dtype == "bfloat16":
                    import ml_dtypes

                    arrays[key] = arrays[key].view(ml_dtypes.bfloat16)
            return arrays, meta["plain"]

    def load_plain(self) -> dict[str, Any]:
        """Return the plain values of the saved state alone, without reading its arrays.

        Raises:
            DataError: it is damaged.
        """
        from dltool.data.formats import npy_headers

        with self.reading(STATE):
            text = npy_headers.arrays(self.path / STATE, ["__plain__"])["__plain__"]
            return dict(json.loads(text.tobytes())["plain"])

    def read_json(self, name: str) -> dict[str, Any]:
        with self.reading(name, self._unfinished()):
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
            if not isinstance(value, dict):
                raise ValueError("not a JSON object")
            return _Facts(value, self.path / name)

    @contextmanager
    def reading(self, name: str, absent: str = f" {AGAIN}") -> Iterator[None]:
        """Turn whatever is wrong with one of the run's files while the block reads it into one line.

        Args:
            absent: what to do if the file is missing.
        Raises:
            DataError: it is missing or damaged.
        """
        path = self.path / name
        try:
            with undamaged(f"{path}:", AGAIN, "is damaged"):
                yield
        except FileNotFoundError:
            raise DataError(f"{path}: is missing.{absent}") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error

    def sessions(self) -> list[dict[str, Any]]:
        """Return the records of environment.json, one for each session that trained here."""
        if not (self.path / ENVIRONMENT).is_file():
            return []
        sessions = self.read_json(ENVIRONMENT).get("sessions")
        if not isinstance(sessions, list):
            raise DataError(f"{self.path / ENVIRONMENT}: is damaged (no 'sessions'). Remove it to go on.")
        return sessions

    def check_is_run(self) -> None:
        """Raise unless this is a run directory, and the own Python is there that it was trained with."""
        if not self.path.exists():
            raise DataError(f"{self.path}: no such run directory")
        if not (self.path / RECIPE).is_file():
            raise DataError(f"{self.path}: is not a run directory (it has no {RECIPE})")
        kept_plugins.check(self.path)

    def load_model(self) -> Any:
        """The selected model.

        Raises:
            DataError: there is none, it is damaged, or it would do more than compute.
        """
        messages.status(f"opening {self.path / MODEL} ...")
        return _load(self.path / MODEL, self._unfinished())

    def _unfinished(self) -> str:
        if (self.path / STATE).is_file():
            return f" Make it from the run's saved state: dltool train {self.path} --resume"
        return f" {AGAIN}"


def load_model(path: Path) -> Any:
    """The model of a run directory or of a .keras file.

    Raises:
        DataError: there is none, it is damaged, or it would do more than compute.
    """
    if path.suffix == ".keras" and not path.is_dir():
        return _load(path, "")
    run = RunDirectory(path)
    run.check_is_run()
    return run.load_model()


def _load(path: Path, remedy: str) -> Any:
    from dltool.data.formats import saved_models
    from dltool.recipe import catalogue as names

    kept_plugins.check(path.parent)
    names.import_saved_objects()
    return saved_models.load(path, remedy=remedy)


class _Facts(dict[str, Any]):
    """A JSON object of a run; a key that it should have and has not is damage of its file."""

    def __init__(self, value: Mapping[str, Any], path: Path) -> None:
        super().__init__(value)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise DataError(f"{self._path}: is damaged (it has no '{key}'). {AGAIN}")


def _plain(value: Any) -> Any:
    """Convert values for json: NumPy's scalars and arrays, tuples of them, paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
