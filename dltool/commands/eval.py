"""dltool eval: runs on a split of their data or on other data; several are also averaged."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool import backend, build, recipe, runs, tables
from dltool.errors import DataError, Problem, RecipeError, RequirementError, UsageError
from dltool.predictions import Evaluated, average, classification, evaluate, regression
from dltool.experiment import Data, reading
from dltool.runs import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test", "all")
OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
REQUIREMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*(>=|<=|==|>|<)\s*([-+0-9.eE]+|[-+]?inf)\s*")


@dataclass(frozen=True)
class Requirement:
    """A condition on a figure, such as accuracy>=0.97."""

    text: str
    figure: str
    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        match = REQUIREMENT.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            return cls(text.strip(), match[1], match[2], float(match[3]))
        except ValueError:
            raise UsageError(f"--require '{text}': write FIGURE OPERATOR NUMBER, such as accuracy>=0.97") from None

    def unmet(self, row: dict[str, Any]) -> str | None:
        """What is wrong with a row of scores, None if nothing is."""
        value = row[self.figure]
        if OPERATORS[self.operator](value, self.bound):
            return None
        return f"{row['run']}: {self.text} is not met: {self.figure} is {value:.6g}"


def run(
    paths: Sequence[Path],
    *,
    split: str | None,
    data: str | None,
    require: Sequence[str],
    predictions: Path | None,
    per_class: bool,
    confusion: bool,
    overwrite: bool,
    batch_size: int | None,
    form: str,
    device: str,
    write: Callable[[str], None],
) -> None:
    """Evaluate, write the report and the predictions, then check the requirements.

    Raises:
        RequirementError: a requirement is not met; the report is written all the same.
    """
    requirements = [Requirement.parse(text) for text in require]
    if split is not None and split not in SPLITS:
        raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
    if per_class and confusion and form == "csv":
        raise UsageError("--format csv holds one table: choose --per-class or --confusion, or use --format json")
    if predictions is not None and predictions.exists() and not overwrite:
        raise UsageError(f"{predictions}: exists already. Use --overwrite to replace it.")
    evaluated, found = evaluate_runs(paths, split=split, data=data, batch_size=batch_size, device=device)
    report = sections(evaluated, found, confusion)
    scores = report["scores"].to_dict("records")
    for requirement in requirements:
        if requirement.figure not in scores[0]:
            known = [name for name in scores[0] if name not in ("run", "split")]
            near = recipe.suggest(requirement.figure, known)
            raise UsageError(f"--require '{requirement.text}': no figure '{requirement.figure}'.{near} Figures: {', '.join(known)}.")
    if predictions is not None:
        with runs.atomic(predictions) as file:
            file.write(prediction_table(evaluated[-1]).to_csv(index=False, lineterminator="\n").encode())
    section = "classes" if per_class else "confusion" if confusion else "scores"
    if section not in report:
        raise UsageError(f"--{'per-class' if per_class else section}: the runs are no classifiers")
    write(tables.render(report, form, section))
    unmet = [line for row in scores for requirement in requirements if (line := requirement.unmet(row))]
    if unmet:
        raise RequirementError("\n".join(unmet))


def evaluate_runs(
    paths: Sequence[Path], *, split: str | None, data: str | None, batch_size: int | None, device: str
) -> tuple[list[Evaluated], dict[str, Any]]:
    """Each run's outputs and scores, then those of the average of several; and facts of the data."""
    directories = [RunDirectory(path) for path in paths]
    for directory in directories:
        directory.check_is_run()
    loaded = [recipe.load(directory / runs.RECIPE) for directory in directories]
    policies = {one.setting("dtype_policy") for one in loaded}
    other = None if data is None else _other(data, directories[0])
    backend.configure(device=device, dtype_policy=policies.pop() if len(policies) == 1 else None)
    evaluated: list[Evaluated] = []
    sources: dict[str, tuple[Data, str]] = {}
    facts: dict[str, Any] = {}
    for directory, one in zip(directories, loaded, strict=True):
        model = directory.load_model()
        stored = directory.read_json(runs.DATA)
        key = str(one.setting("data")) if other is None else ""
        if key not in sources:
            sources[key] = _source(one, other, split)
        source, name = sources[key]
        facts = source.facts
        _check_fits(directory, stored, facts)
        size = batch_size or source.evaluation_batch(one.setting("fit", "batch_size", default=32))
        pipeline = source.pipeline(name, size)
        evaluated.append(evaluate(model, pipeline, str(directory), split or name, source))
    if len(evaluated) > 1:
        first = evaluated[0]
        for one_ in evaluated[1:]:
            if one_.targets.shape != first.targets.shape or not (one_.targets == first.targets).all():
                raise UsageError(f"{one_.run} and {first.run} have other examples: average runs of the same data and split")
            if one_.outputs.shape != first.outputs.shape:
                raise UsageError(f"{one_.run} and {first.run} have outputs of other shapes: they cannot be averaged")
        evaluated.append(average(evaluated))
    return evaluated, facts


def sections(evaluated: Sequence[Evaluated], facts: dict[str, Any], confusion: bool) -> dict[str, pd.DataFrame]:
    """Scores a run; for classifiers also figures a class and, if asked for, the confusion matrix."""
    import pandas as pd

    is_classification = evaluated[0].probabilities is not None and facts.get("num_classes")
    names = [str(name) for name in facts.get("class_names") or range(facts.get("num_classes") or 0)]
    rows, classes, matrices = [], [], []
    for one in evaluated:
        row = {"run": one.run, "split": one.split, "examples": len(one.targets), **one.figures}
        if is_classification:
            summary, table, matrix = classification(one, names)
            row |= summary
            classes.append(table.assign(run=one.run)[["run", *table.columns]])
            matrices.append(matrix.assign(run=one.run)[["run", *matrix.columns]])
        else:
            row |= regression(one)
        rows.append(row)
    report = {"scores": pd.DataFrame(rows)}
    if is_classification:
        report["classes"] = pd.concat(classes, ignore_index=True)
        if confusion:
            report["confusion"] = pd.concat(matrices, ignore_index=True)
        report["scores"].attrs["classes"] = names
    return report


def prediction_table(evaluated: Evaluated) -> pd.DataFrame:
    """A row an example: index, target, prediction and the outputs (probabilities of a classifier)."""
    import numpy as np
    import pandas as pd

    if evaluated.probabilities is not None:
        outputs = evaluated.probabilities
        columns: dict[str, Any] = {"target": evaluated.labels(), "prediction": outputs.argmax(axis=-1)}
        prefix = "probability"
    else:
        outputs = evaluated.outputs.reshape(len(evaluated.outputs), -1)
        targets = evaluated.targets.reshape(len(evaluated.targets), -1)
        columns = {f"target_{i}" if targets.shape[1] > 1 else "target": targets[:, i] for i in range(targets.shape[1])}
        prefix = "prediction"
    single = outputs.shape[1] == 1
    columns |= {prefix if single else f"{prefix}_{i}": outputs[:, i] for i in range(outputs.shape[1])}
    return pd.DataFrame({"index": np.arange(len(outputs)), **columns})


def _source(one: recipe.Recipe, other: tuple[Any, bool] | None, split: str | None) -> tuple[Data, str]:
    """The data to evaluate on and the name of the split in them."""
    if other is None:
        dataset = build.dataset(one.get("data", "dataset"))
        if split == "all":
            return _whole(dataset), "train"
        source = Data.of(one, dataset)
    else:
        dataset, whole = other
        if split == "all" or (split is None and "test" not in dataset.sizes()):
            return _whole(dataset), "train"
        source = Data(dataset)
    name = split or ("test" if "test" in source.splits else "train")
    if name not in source.splits:
        raise UsageError(f"--split {name}: the data have no such split. They have: {', '.join(source.splits)}.")
    return source, name


def _whole(dataset: Any) -> Data:
    """Everything as one split."""
    with reading():
        parts = dataset.sizes()
    if set(parts) != {"train"}:
        raise UsageError(f"--split all: the data come in parts; choose one of {', '.join(parts)}")
    return Data(dataset, test_split=0.0)


def _other(text: str, directory: RunDirectory) -> tuple[Any, bool]:
    """The dataset of --data; class names take the run's order where the dataset has `classes`."""
    try:
        value = recipe.from_text(text, "--data")
    except RecipeError as error:
        raise UsageError(str(error)) from None
    name = recipe.object_name(value)
    if name is None:
        raise UsageError(f"--data '{text}': write a dataset as in a recipe, such as 'Csv: {{path: new.csv, target: y}}'")
    stored = directory.read_json(runs.DATA)
    plain = value.plain()
    body = plain[name] if isinstance(plain, dict) else None
    body = dict(body) if isinstance(body, dict) else body
    classes = stored.get("class_names")
    target = None
    try:
        from dltool import names

        target = names.find("datasets", name)
    except LookupError:
        pass
    if target is not None and classes and isinstance(body, dict) and "classes" in build.parameters(target):
        body.setdefault("classes", classes)
        import json

        value = recipe.from_text(json.dumps({name: body}), "--data")
    try:
        return build.dataset(value, "--data"), True
    except RecipeError as error:
        raise RecipeError([Problem(problem.place, problem.path, problem.message) for problem in error.problems]) from None


def _check_fits(directory: RunDirectory, stored: dict[str, Any], facts: dict[str, Any]) -> None:
    """Raise if the data are not of the kind that the run was trained on."""
    for name, words in (("input_shape", "inputs of shape"), ("num_classes", "classes"), ("class_names", "classes")):
        old, new = stored.get(name), facts.get(name)
        new = list(new) if isinstance(new, tuple) else new
        if old is not None and new is not None and old != new:
            raise DataError(f"{directory}: was trained on {words} {old}, the data have {new}")
    if "features" in stored and set(stored["features"]) - set(facts.get("features", ())):
        missing = ", ".join(sorted(set(stored["features"]) - set(facts.get("features", ()))))
        raise DataError(f"{directory}: needs columns that the data do not have: {missing}")
