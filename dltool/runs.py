"""The run directory: its layout, atomic writes and loading."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dltool import messages
from dltool.errors import DataError, DltoolError, UsageError, first_line
from dltool.writing import atomic, write_rows, writing

HOME = Path("runs")  # where runs go by default
RECIPE = "recipe.yaml"
MODEL = "model.keras"
HISTORY = "history.csv"
METRICS = "metrics.json"
ENVIRONMENT = "environment.json"
DATA = "data.json"  # facts of the data as trained: sizes, shapes, class names in the model's order
BASES = "bases.json"  # the pre-trained files that the model started from
PICTURE = "history.png"
FILTERS = "filters"  # what visualize-filters writes unless told otherwise
STATE = "checkpoint/state.npz"
VOCABULARY = "vocabulary"  # of a text's tokens: the tokenizer's files
PERCENTILES = ("percentiles.csv", "percentiles.png")  # of ActivationPercentiles, by default
# in the order of removal: without its recipe a directory is no run, and --overwrite would refuse what is left
OWN = (METRICS, MODEL, HISTORY, ENVIRONMENT, DATA, BASES, PICTURE, FILTERS, *PERCENTILES, VOCABULARY, "checkpoint",
       RECIPE)  # fmt: skip
LEFTOVER = re.compile(r"\.(?:[\w-]+\.(?:yaml|csv|json|png|npz|model)\.\w{8}|writing-\d+\.keras)")


class RunDirectory:
    """One training run on disk.

    Every file is written beside its place and renamed, so that it is there whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made = False  # whether this process made the directory

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __str__(self) -> str:
        return str(self.path)

    # -- making and opening ----------------------------------------------------------------------------

    @classmethod
    def fresh(cls, name: str) -> RunDirectory:
        """The first of runs/NAME, runs/NAME-2, ... that does not exist."""
        number = 1
        while (path := HOME / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return cls(path)

    @classmethod
    def claimed(cls, name: str) -> RunDirectory:
        """As `fresh`, and made, so that no other training takes it."""
        while True:
            run = cls.fresh(name)
            try:
                with writing(run.path):
                    run.path.mkdir(parents=True)
            except DltoolError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
            else:
                run.made = True
                return run

    def check_free(self, overwrite: bool) -> None:
        """Raise unless a run may be written here; nothing is touched.

        Raises:
            UsageError: something is there and `overwrite` is off, or it does not look like a run, or the
                place cannot be written.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise UsageError(f"{self.path}: is a file. Give another --out.")
            exists = self.path.exists() and any(self.path.iterdir())
            if exists and not overwrite:
                raise UsageError(
                    f"{self.path}: exists already. Use --overwrite to replace it, --resume to go on, or another --out."
                )
            if exists and not (self.path / RECIPE).is_file():
                raise UsageError(f"{self.path}: is not a run directory (no {RECIPE}), so --overwrite leaves it alone.")
        except PermissionError as error:
            raise UsageError(f"{error.filename}: no permission to look into it. Give another --out.") from error
        parent = self.path.absolute()
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise UsageError(f"{self.path}: {parent} is a file, no folder. Give another --out.")
        effective = os.access in os.supports_effective_ids
        if not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
            raise UsageError(f"{self.path}: cannot be written (no permission for {parent}). Give another --out.")

    def start(self) -> None:
        """Make the directory empty of an earlier run; files that are not a run's stay."""
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for name in OWN:
                target = self.path / name
                if target.is_dir():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second training in it; one that was made for nothing goes away.

        Raises:
            UsageError: another training is in it, or it cannot be made.
        """
        self._make()
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear_leftovers()
            yield
        except BlockingIOError:
            raise UsageError(f"{self.path}: another dltool train is running in it") from None
        finally:
            if self.made and self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()
            os.close(descriptor)

    def _make(self) -> None:
        made = not self.path.exists()
        try:
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        except DltoolError as error:
            raise UsageError(str(error)) from error
        self.made |= made

    def forget_results(self) -> None:
        """Remove what tells of the end of training, before training goes on."""
        with writing(self.path):
            for name in (METRICS, MODEL):
                (self.path / name).unlink(missing_ok=True)

    def _clear_leftovers(self) -> None:
        """Remove half-written files of a process that was killed while it wrote."""
        for folder in (self.path, self.path / "checkpoint", self.path / VOCABULARY):
            for path in folder.glob(".*"):
                if LEFTOVER.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    # -- writing ---------------------------------------------------------------------------------------

    def write_text(self, name: str, text: str) -> None:
        with atomic(self.path / name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, json.dumps(value, indent=2, default=_plain) + "\n")

    def write_vocabulary(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            with atomic(self.path / VOCABULARY / name) as file:
                file.write(content)

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        write_rows(self.path / HISTORY, rows)

    def save_model(self, model: Any) -> None:
        temporary = self.path / f".writing-{os.getpid()}.keras"
        try:
            with writing(self.path / MODEL):
                model.save(temporary)
                temporary.replace(self.path / MODEL)
        finally:
            temporary.unlink(missing_ok=True)

    def save_state(self, arrays: Mapping[str, Any], plain: Mapping[str, Any], name: str = STATE) -> None:
        """Arrays with plain values beside them, in one file."""
        import numpy as np

        kept, dtypes = {}, {}
        for key, array in arrays.items():
            dtypes[key] = array.dtype.name
            kept[key] = array.view(np.uint16) if array.dtype.name == "bfloat16" else array
        text = json.dumps({"plain": plain, "dtypes": dtypes}, default=_plain)
        with atomic(self.path / name) as file:
            np.savez(file, **kept, __plain__=np.frombuffer(text.encode(), np.uint8))

    # -- reading ---------------------------------------------------------------------------------------

    def load_state(self, name: str = STATE) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `save_state` wrote.

        Raises:
            DataError: it is damaged.
        """
        import numpy as np

        path = self.path / name
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            meta = json.loads(arrays.pop("__plain__").tobytes())
            for key, dtype in meta["dtypes"].items():
                if dtype == "bfloat16":
                    import ml_dtypes

                    arrays[key] = arrays[key].view(ml_dtypes.bfloat16)
            return arrays, meta["plain"]
        except FileNotFoundError:
            raise DataError(f"{path}: is missing. Train again with --overwrite.") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path}: is damaged ({first_line(error)}). Train again with --overwrite.") from error

    def read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path}: is missing.{self._unfinished()}") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: is damaged ({first_line(error)}). Train again with --overwrite.") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}: is damaged (not a JSON object). Train again with --overwrite.")
        return value

    def sessions(self) -> list[dict[str, Any]]:
        """What environment.json holds, a record for each session that trained here."""
        if not (self.path / ENVIRONMENT).is_file():
            return []
        sessions = self.read_json(ENVIRONMENT).get("sessions")
        if not isinstance(sessions, list):
            raise DataError(f"{self.path / ENVIRONMENT}: is damaged (no 'sessions'). Remove it to go on.")
        return sessions

    def check_is_run(self) -> None:
        """Raise unless this is a run directory."""
        if not self.path.exists():
            raise DataError(f"{self.path}: no such run directory")
        if not (self.path / RECIPE).is_file():
            raise DataError(f"{self.path}: is not a run directory (it has no {RECIPE})")

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
        return " Train again with --overwrite."


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
    from dltool import names, saved_models

    names.import_saved_objects()
    return saved_models.load(path, remedy=remedy)


def _plain(value: Any) -> Any:
    """What json cannot write by itself: NumPy's scalars and arrays, tuples of them, paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
