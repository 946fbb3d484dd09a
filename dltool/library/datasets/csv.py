"""Tables in CSV or Parquet files."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples, trained_classes
from dltool.data.formats import table_columns, table_file, table_hints
from dltool.data.inputs.base import ROWS
from dltool.errors import suggest_or_list

MOST_CLASSES = 20  # a target of more distinct integers is taken for a quantity
NAMED = 3  # values that a message shows of a column


class Csv(Dataset):
    """A table: x is a dict of column name to array (n,), y is the target column.

    Numeric columns are float32, categories int64 (whole numbers) or str objects (also numbers with leading zeros, or
    of more than 64 bits). y is int32 class indices, or float32 for regression. The kinds of columns, the classes and
    the statistics that fill gaps come from the training file alone; a run keeps them for other files. A first column
    without a name whose values all differ, such as pandas writes for a table's index, is left out.

    Args:
        path: the training file: .csv, .csv.gz (also .tsv, .txt; in any case) with a header line, UTF-8, or .parquet.
        target: name of the column to predict.
        task: "classification" or "regression". Defaults to classification where the target is text, bool or
            of at most 20 distinct whole numbers, also written 1.0.
        numeric: names of numeric columns. Defaults to those that hold only numbers.
        categorical: names of categorical columns; there 00501 and 501 are two categories. Defaults to the others.
        ignore: names of columns to leave out.
        fill: what replaces missing values: a mapping of column to a value or to "mean", "median" or
            "most_frequent", or one of these words for all columns. Defaults to none: missing values are an
            error.
        classes: classes in label order. Defaults to the sorted distinct targets.
        separator: one character between cells. Defaults to ",", of .tsv files to a tab.
        decimal: what numbers have before their decimals: "." or ",". Defaults to ".".
        missing: cells that count as missing, a list of words and numbers; empty cells always do. Defaults to the
            words of pandas: NA, N/A, n/a, NaN, nan, -NaN, -nan, NULL, null, None, <NA>, #N/A, #N/A N/A, #NA, 1.#IND,
            1.#QNAN, -1.#IND and -1.#QNAN. `missing: []` keeps them all, such as a class None. In Parquet files, null
            is missing and by default no word is.
        test_path: file of the "test" part. Defaults to none.
        validation_path: file of the "validation" part. Defaults to none.
    Raises:
        FileNotFoundError: if a path does not exist.
        ValueError: if an argument is out of its range; later, with file and line, if the files do not fit it.
    Limits: files are read into memory whole; dates and nested columns must be converted first.
    """

    new_examples = ROWS

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
        separator: str | None = None,
        decimal: str = ".",
        missing: Sequence[str | float] | None = None,
        test_path: str | os.PathLike | None = None,
        validation_path: str | os.PathLike | None = None,
    ):
        given = {"path": path, "validation_path": validation_path, "test_path": test_path}
        self._paths = {}
        for part, (name, value) in zip(("train", "validation", "test"), given.items(), strict=True):
            if value is not None or name == "path":
                self._paths[part] = arguments.existing("Csv", name, value, "file")
                if not self._paths[part].name.lower().endswith(table_file.SUFFIXES):
                    raise arguments.wrong("Csv", name, f"a file named {', '.join(table_file.SUFFIXES)}", str(value))
        if not isinstance(target, str) or not target:
            raise arguments.wrong("Csv", "target", "the name of a column", target)
        if separator is not None and (not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n'):
            raise arguments.wrong("Csv", "separator", "one character", separator)
        arguments.choice("Csv", "decimal", decimal, (".", ","))
        self.target, self.format = target, table_file.Format(separator, decimal, _words(missing))
        self._trained: Mapping[str, Any] | None = None
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
        """ "classification" or "regression": as trained or as given, else inferred from the target column."""
        if self._trained is not None:
            return "classification" if "num_classes" in self._trained else "regression"
        if self._task is None:
            self._task = self._inferred_task()
        return self._task

    def as_trained(self, facts: Mapping[str, Any]) -> Csv:
        if "features" not in facts:
            return self
        twin = copy.copy(self)
        for name in ("_tables", "_columns", "_kinds", "_target_numbers", "_target_codes", "_class_values"):
            vars(twin).pop(name, None)
        twin._trained, twin.is_trained = facts, True
        classes = trained_classes(facts)
        if classes is not None:
            twin.classes = {table_columns.class_text(value): value for value in classes}
        return twin

    def sizes(self) -> dict[str, int]:
        return {part: len(self._table(part).frame) for part in self._paths}

    def input_names(self) -> list[str]:
        return list(self._kinds)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "features": dict(self._kinds),
            "input_columns": list(self._kinds),
            "target": self.target,
        }
        if self.fill is not None:
            facts["fill_values"] = self.fill_values()
        if self.task == "regression":
            return facts | {"num_targets": 1}
        classes = self._class_values
        return facts | {
            "num_classes": len(classes),
            "class_names": list(classes),
            "classes": list(classes.values()),
        }

    def check_for_training(self) -> None:
        """Raise if the training part has one row only."""
        if self.sizes()["train"] < 2:
            raise ValueError(f"{self._paths['train']} has 1 row, at least 2 are needed to train: add rows.")

    def files(self) -> list[Path]:
        return list(self._paths.values())

    def fill_values(self) -> dict[str, Any]:
        """Return the replacement of missing values, for each column that is filled."""
        found = {}
        for name, kind in self._kinds.items():
            word = self.fill.get(name) if isinstance(self.fill, Mapping) else self.fill
            if kind != table_columns.NUMERIC and word in ("mean", "median") and not isinstance(self.fill, Mapping):
                continue  # one word for all columns: it is an error only where a category is missing
            value = self._filler(name, kind, check=False)
            if value is not None:
                found[name] = value
        return found

    def labels(self, part: str) -> np.ndarray:
        table = self._table(part)
        table_columns.check_target(table, self.target)
        if self.task == "regression":
            return table_columns.regression_target(table, self.target)
        y = table_columns.class_labels(table, self.target, self._class_values)
        if (y < 0).any():
            row, names = int(np.argmax(y < 0)), list(self._class_values)
            known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            value = str(table.frame[self.target].iloc[row])
            remedy = "" if self.is_trained else ", or list all of them in 'classes'"
            raise ValueError(
                f"{table.path}: {table.where(row)}: the target '{self.target}' is {value!r}, none of the classes "
                f"{known}: correct it{remedy}."
            )
        return y

    def read(self, part: str) -> Examples:
        columns = self._read_columns(part)
        return Examples({name: column.values for name, column in columns.items()}, self.labels(part))

    def hints(self) -> list[str]:
        listed = dict.fromkeys(self.numeric, "numeric") | dict.fromkeys(self.categorical, "categorical")
        classes = self.task == "classification" and self.classes is None
        return table_hints.hints(self._table("train"), self._kinds, listed, self.target, classes)

    def unseen(self, part: str, indices: np.ndarray | None = None) -> str | None:
        table, found = self._table(part), []
        for name, column in self._read_columns(part).items():
            unseen = column.unseen & ~column.missing
            if indices is not None:
                chosen = np.zeros(len(unseen), bool)
                chosen[indices] = True
                unseen = unseen & chosen
            if unseen.any():
                values = [repr(str(value)) for value in dict.fromkeys(table.frame[name][unseen].tolist())]
                more = ", ..." if len(values) > NAMED else ""
                found.append(f"{unseen.sum():,} in column '{name}' ({', '.join(values[:NAMED])}{more})")
        if not found:
            return None
        return f"{table.path}: categories that training never saw, read as unknown: {'; '.join(found)}"

    def _read_columns(self, part: str) -> dict[str, table_columns.Column]:
        if part not in self._columns:
            table, known = self._table(part), (self._trained or {}).get("categories", {})
            found = {}
            for name, kind in self._kinds.items():
                filler = self._filler(name, kind) if table.frame[name].isna().any() else None
                found[name] = table_columns.column(table, name, kind, filler, known.get(name))
            self._columns[part] = found
        return self._columns[part]

    @cached_property
    def _columns(self) -> dict[str, dict[str, table_columns.Column]]:
        return {}

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
            table = table_file.read(self._paths[part], self.format)
            held = [str(name) for name in table.frame.columns]
            named = self._named() if part == "train" and self._trained is None else self._kinds
            for name in (self.target, *named):
                if name not in held:
                    other = table_file.other_separator(held) if table.is_text else ""
                    remedy = other or suggest_or_list(name, held)
                    raise ValueError(f"{table.path} has no column '{name}'.{remedy}")
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
        if self._trained is not None:
            return dict(self._trained["features"])
        table = self._table("train")
        listed = dict.fromkeys(self.numeric, "numeric") | dict.fromkeys(self.categorical, "categorical")
        kinds = {
            name: table_columns.kind_of(table, name, listed.get(name))
            for name in map(str, table.frame.columns)
            if name != self.target and name not in self.ignore
        }
        if not kinds:
            raise ValueError(f"{table.path} has no input column apart from the target '{self.target}': add one.")
        for name in self.fill if isinstance(self.fill, Mapping) else ():
            if name not in kinds:
                raise ValueError(f"The 'fill' parameter of Csv names '{name}', which is no input column: remove it.")
        return kinds

    def _filler(self, name: str, kind: str, check: bool = True) -> Any | None:
        value = self.fill.get(name) if isinstance(self.fill, Mapping) else self.fill
        kept = (self._trained or {}).get("fill_values", {})
        if name in kept and (value is None or value in table_columns.STATISTICS):
            return kept[name]
        if value is None:
            return None
        if value in table_columns.STATISTICS:
            return table_columns.statistic(self._table("train"), name, kind, value)
        return table_columns.check_filler(name, kind, value) if check else value

    @cached_property
    def _target_numbers(self) -> np.ndarray | None:
        """The training targets where they are numbers, else None."""
        table = self._table("train")
        table_columns.check_target(table, self.target)
        return table_columns.numbers(table, self.target)

    @cached_property
    def _target_codes(self) -> bool:
        """Return whether the training targets are numbers that name classes, such as 00501."""
        return self._target_numbers is None or table_columns.are_codes(self._table("train"), self.target)

    def _inferred_task(self) -> str:
        found = self._target_numbers
        if self.classes is not None or found is None:
            return "classification"
        if self._target_codes:
            distinct = len(table_columns.distinct_texts(self._table("train"), self.target)[1])
        else:
            distinct = len(np.unique(found)) if np.all(found == np.floor(found)) else MOST_CLASSES + 1
        return "classification" if distinct <= MOST_CLASSES else "regression"

    @cached_property
    def _class_values(self) -> dict[str, Any]:
        """Class text -> class, in label order."""
        if self.classes is not None:
            return self.classes
        table, found = self._table("train"), self._target_numbers
        if found is None or self._target_codes:
            table_columns.distinct_texts(table, self.target)  # raises for values that are no classes
            distinct = sorted(set(table.frame[self.target].tolist()))
        else:
            whole = np.all(found == np.floor(found)) and np.all(np.abs(found) < 2**53)
            distinct = np.unique(found.astype(np.int64) if whole else found).tolist()
        if len(distinct) < 2:
            raise ValueError(f"{table.path}: the target '{self.target}' has 1 class, {distinct[0]!r}: add others.")
        return {table_columns.class_text(value): value for value in distinct}


def _words(missing: Any) -> list[str | float] | None:
    """Return a list of words and numbers, None for the default."""
    if missing is None:
        return None
    listed = isinstance(missing, Sequence) and not isinstance(missing, str)
    if not listed or not all(isinstance(word, str | int | float) and not isinstance(word, bool) for word in missing):
        raise arguments.wrong("Csv", "missing", "a list of words and numbers", missing)
    return list(missing)
