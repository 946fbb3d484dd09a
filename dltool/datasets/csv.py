"""Tables in CSV or Parquet files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dltool.datasets import arguments, table_columns, table_file
from dltool.datasets.base import Dataset, Examples

MOST_CLASSES = 20  # a target of more distinct integers is taken for a quantity


class Csv(Dataset):
    """A table: x is a dict of column name to array (n,), y is the target column.

    Numeric columns are float32, categories int64 (whole numbers) or str objects. y is int32 class indices, or
    float32 for regression. The kinds of columns, the classes and the statistics that fill gaps come from the
    training file alone. Empty cells, NA, NaN, null and None count as missing.

    Args:
        path: the training file: .csv, .csv.gz (also .tsv, .txt) with a header line, UTF-8, or .parquet.
        target: name of the column to predict.
        task: "classification" or "regression". Defaults to classification where the target is text, bool or
            of at most 20 distinct whole numbers.
        numeric: names of numeric columns. Defaults to those that hold only numbers.
        categorical: names of categorical columns. Defaults to the others.
        ignore: names of columns to leave out.
        fill: what replaces missing values: a mapping of column to a value or to "mean", "median" or
            "most_frequent", or one of these words for all columns. Defaults to none: missing values are an
            error.
        classes: classes in label order. Defaults to the sorted distinct targets.
        separator: one character between cells. Defaults to ",".
        test_path: file of the "test" part. Defaults to none.
        validation_path: file of the "validation" part. Defaults to none.
    Raises:
        FileNotFoundError: if a path does not exist.
        ValueError: if an argument is out of its range; later, with file and line, if the files do not fit it.
    Limits: files are read into memory whole; dates and nested columns must be converted first.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        target: str,
        task: str | None = None,
        numeric: Sequence[str] | None = None,
        categorical: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        fill: Mapping[str, Any] | str | None = None,
        classes: Sequence[Any] | None = None,
        separator: str = ",",
        test_path: str | os.PathLike | None = None,
        validation_path: str | os.PathLike | None = None,
    ):
        given = {"path": path, "validation_path": validation_path, "test_path": test_path}
        self._paths = {}
        for part, (name, value) in zip(("train", "validation", "test"), given.items(), strict=True):
            if value is not None or name == "path":
                self._paths[part] = arguments.existing("Csv", name, value, "file")
                if not self._paths[part].name.endswith(table_file.SUFFIXES):
                    raise arguments.wrong("Csv", name, f"a file named {', '.join(table_file.SUFFIXES)}", str(value))
        if not isinstance(target, str) or not target:
            raise arguments.wrong("Csv", "target", "the name of a column", target)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise arguments.wrong("Csv", "separator", "one character", separator)
        self.target, self.separator = target, separator
        self._task = task and arguments.choice("Csv", "task", task, ("classification", "regression"))
        self.numeric = arguments.names("Csv", "numeric", numeric or ())
        self.categorical = arguments.names("Csv", "categorical", categorical or ())
        self.ignore = arguments.names("Csv", "ignore", ignore or ())
        self._check_roles()
        if isinstance(fill, str):
            arguments.choice("Csv", "fill", fill, table_columns.STATISTICS)
        elif fill is not None and not isinstance(fill, Mapping):
            raise arguments.wrong("Csv", "fill", "a mapping of columns to values, or a statistic", fill)
        self.fill = fill
        self.classes = self._check_classes(classes)

    @property
    def task(self) -> str:  # type: ignore[override]
        """ "classification" or "regression": as given, else told from the target column."""
        if self._task is None:
            self._task = self._inferred_task()
        return self._task

    def sizes(self) -> dict[str, int]:
        return {part: len(self._table(part).frame) for part in self._paths}

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "features": dict(self._kinds),
            "input_columns": list(self._kinds),
            "target": self.target,
        }
        if self.task == "regression":
            return facts | {"num_targets": 1}
        classes = self._class_values
        return facts | {
            "num_classes": len(classes),
            "class_names": list(classes),
            "classes": list(classes.values()),
        }

    def files(self) -> list[Path]:
        return list(self._paths.values())

    def labels(self, part: str) -> np.ndarray:
        table = self._table(part)
        table_columns.check_target(table, self.target)
        if self.task == "regression":
            return table_columns.regression_target(table, self.target)
        index = {name: label for label, name in enumerate(self._class_values)}
        found = table_columns.class_texts(table, self.target, self._target_numbers is not None)
        y = np.array([index.get(name, -1) for name in found], np.int32)
        if (y < 0).any():
            row = int(np.argmax(y < 0))
            known = ", ".join(list(index)[:10]) + (", ..." if len(index) > 10 else "")
            raise ValueError(
                f"{table.path}: {table.where(row)}: the target '{self.target}' is {found[row]!r}, none of "
                "the classes "
                f"{known}: correct it, or list all of them in 'classes'."
            )
        return y

    def read(self, part: str) -> Examples:
        table = self._table(part)
        x = {}
        for name, kind in self._kinds.items():
            filler = self._filler(name, kind) if table.frame[name].isna().any() else None
            x[name] = table_columns.filled(table, name, kind, filler)
        return Examples(x, self.labels(part))

    def _check_roles(self) -> None:
        roles = [("target", [self.target]), ("numeric", self.numeric)]
        roles += [("categorical", self.categorical), ("ignore", self.ignore)]
        seen: dict[str, str] = {}
        for role, names in roles:
            for name in names:
                if name in seen:
                    raise ValueError(f"Csv: column '{name}' is in both '{seen[name]}' and '{role}': choose one.")
                seen[name] = role

    def _check_classes(self, classes: Sequence[Any] | None) -> dict[str, Any] | None:
        """Class text -> class as given."""
        if classes is None:
            return None
        if self._task == "regression":
            raise ValueError("Csv: 'classes' has no meaning for task 'regression': remove one of them.")
        if isinstance(classes, str) or not isinstance(classes, Sequence) or len(classes) < 2:
            raise arguments.wrong("Csv", "classes", "a list of at least 2 classes", classes)
        found = {table_columns.class_text(value): value for value in classes}
        if len(found) < len(classes):
            raise arguments.wrong("Csv", "classes", "a list without repeated classes", classes)
        return found

    def _table(self, part: str) -> table_file.Table:
        arguments.stored("Csv", part, self._paths)
        if part not in self._tables:
            table = table_file.read(self._paths[part], self.separator)
            held = [str(name) for name in table.frame.columns]
            needed = [self.target, *(self._named() if part == "train" else self._kinds)]
            for name in needed:
                if name not in held:
                    raise ValueError(f"{table.path} has no column '{name}'. {arguments.near(name, held)}")
            self._tables[part] = table
        return self._tables[part]

    @cached_property
    def _tables(self) -> dict[str, table_file.Table]:
        return {}

    def _named(self) -> list[str]:
        fill = list(self.fill) if isinstance(self.fill, Mapping) else []
        return [*self.numeric, *self.categorical, *self.ignore, *fill]

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """Input column -> kind, in the order of the training file."""
        table = self._table("train")
        listed = dict.fromkeys(self.numeric, "numeric") | dict.fromkeys(self.categorical, "categorical")
        kinds = {
            name: table_columns.kind_of(table, name, listed.get(name))
            for name in map(str, table.frame.columns)
            if name != self.target and name not in self.ignore
        }
        if not kinds:
            raise ValueError(f"{table.path} has no input column beside the target '{self.target}': add one.")
        for name in self.fill if isinstance(self.fill, Mapping) else ():
            if name not in kinds:
                raise ValueError(f"The 'fill' parameter of Csv names '{name}', which is no input column: remove it.")
        return kinds

    def _filler(self, name: str, kind: str) -> Any | None:
        value = self.fill.get(name) if isinstance(self.fill, Mapping) else self.fill
        if value is None:
            return None
        if value in table_columns.STATISTICS:
            return table_columns.statistic(self._table("train"), name, kind, value)
        return table_columns.check_filler(name, kind, value)

    @cached_property
    def _target_numbers(self) -> np.ndarray | None:
        """The training targets where they are numbers, else None."""
        table = self._table("train")
        table_columns.check_target(table, self.target)
        return table_columns.numbers(table.frame[self.target])

    def _inferred_task(self) -> str:
        found = self._target_numbers
        if self.classes is not None or found is None:
            return "classification"
        few = found.dtype.kind == "i" and len(np.unique(found)) <= MOST_CLASSES
        return "classification" if few else "regression"

    @cached_property
    def _class_values(self) -> dict[str, Any]:
        """Class text -> class, in label order."""
        if self.classes is not None:
            return self.classes
        table = self._table("train")
        if self._target_numbers is not None:
            distinct = np.unique(self._target_numbers).tolist()
        else:
            table_columns.texts(table, self.target)  # raises for values that are no classes
            distinct = sorted(set(table.frame[self.target].tolist()))
        if len(distinct) < 2:
            raise ValueError(f"{table.path}: the target '{self.target}' has 1 class, {distinct[0]!r}: add others.")
        return {table_columns.class_text(value): value for value in distinct}
