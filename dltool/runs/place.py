"""A place for a run directory: found, taken, held against a second training, cleared of an earlier run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from dltool.errors import DltoolError, UsageError
from dltool.output.files import TEMPORARY, announce, atomic, remove_empty, writing
from dltool.output.ownership import MARKER, listed, marker
from dltool.recipe import run_files
from dltool.recipe.run_files import FOLDERS, RECIPE

HOME = Path("runs")  # where runs go by default


class RunPlace:
    """Where a run directory is or will be, and which of its files dltool wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: list[Path] = []  # folders that this process made, the innermost first
        self._written: set[str] | None = None  # names of the files that dltool wrote; None: not looked up yet
        self._recipe: str | None = None  # digest of the recipe as dltool wrote it

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __str__(self) -> str:
        return str(self.path)

    # -- making and opening ----------------------------------------------------------------------------

    @classmethod
    def fresh(cls, name: str) -> Self:
        """The first of runs/NAME, runs/NAME-2, ... that does not exist."""
        number = 1
        while (path := HOME / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return cls(path)

    @classmethod
    def claimed(cls, name: str) -> Self:
        """Return a `fresh` place and create it, so that no other training takes it."""
        while True:
            run = cls.fresh(name)
            made = run._missing()
            try:
                with writing(run.path):
                    run.path.mkdir(parents=True)
            except DltoolError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
            else:
                run.made = made
                return run

    def check_free(self, overwrite: bool, resumes: bool = True) -> None:
        """Raise unless a run may be written here; nothing is touched.

        Args:
            overwrite: whether a run that is there may be replaced.
            resumes: whether the command has --resume.
        Raises:
            UsageError: something is there and `overwrite` is off, or it does not look like a run, or the
                place cannot be written.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise UsageError(f"{self.path}: is a file. Give another --out.")
            exists = self.path.exists() and any(self.path.iterdir())
            if exists and not overwrite:
                go_on = " --resume to go on," if resumes else ""
                message = f"exists already. Use --overwrite to replace it,{go_on} or another --out."
                raise UsageError(f"{self.path}: {message}")
            if exists and not run_files.is_run(self.path):
                why = f"no {MARKER} that dltool wrote" if (self.path / RECIPE).is_file() else f"no {RECIPE}"
                raise UsageError(f"{self.path}: is not a run directory ({why}), so --overwrite leaves it alone.")
            self.check_own()
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

    def check_own(self) -> None:
        """Raise if files of the user stand where dltool would write its own.

        Raises:
            UsageError: there are some.
        """
        if names := run_files.foreign(self.path):
            held = f"holds files that dltool did not write: {listed(names)}"
            raise UsageError(f"{self.path}: {held}. Move them, or give another --out.")

    def start(self, replaced: Sequence[str] = ()) -> None:
        """Remove the files of an earlier run, named on stderr before; all others stay.

        Args:
            replaced: files that callbacks will replace, to be named too.
        """
        from dltool.output import picture_folder as folder

        names = [name for name in run_files.written(self.path) if name != RECIPE or not self.recipe_is_edited()]
        home = self.path / "filters"
        pictures = [home, *(home.glob("*") if home.is_dir() else ())]
        pictures = [one for one in pictures if folder.files_in(one)]
        announce([*names, *(str(one.relative_to(self.path)) for one in pictures), *replaced], self.path)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for one in pictures:
                folder.remove(one)
            for name in names:
                (self.path / name).unlink(missing_ok=True)
            for name in FOLDERS:
                if not (self.path / name).is_symlink():
                    remove_empty([self.path / name])
        edited = self.recipe_is_edited()
        self._written, self._recipe = ({RECIPE}, run_files.noted_recipe(self.path)) if edited else (set(), None)

    def recipe_is_edited(self) -> bool:
        """Return whether its recipe is not as dltool wrote it."""
        return run_files.recipe_is_edited(self.path)

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
            if self.made:
                remove_empty(self.made)
            os.close(descriptor)

    def _make(self) -> None:
        made = self._missing()
        try:
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        except DltoolError as error:
            remove_empty(made)
            raise UsageError(str(error)) from error
        self.made = self.made or made

    def _missing(self) -> list[Path]:
        """The folders that are to be made for it, the innermost first."""
        return [folder for folder in (self.path, *self.path.parents) if not folder.exists()]

    def _clear_leftovers(self) -> None:
        """Remove half-written files of a process that was killed while it wrote."""
        for folder in (self.path, *(self.path / name for name in FOLDERS)):
            for path in folder.glob(".dltool-*"):
                if TEMPORARY.fullmatch(path.name) and not path.is_symlink() and path.is_file():
                    path.unlink(missing_ok=True)

    def note(self, *names: str) -> None:
        """Write down, before they are there, that dltool writes files of these names."""
        if self._written is None:
            self._written, self._recipe = {*run_files.written(self.path)}, run_files.noted_recipe(self.path)
        if not self._written.issuperset(names):
            self._written.update(names)
            facts = {} if self._recipe is None else {"recipe": self._recipe}
            with atomic(self.path / MARKER) as file:
                file.write(marker(run_files.KIND, sorted(self._written), **facts).encode())
