"""The common base of classification and regression: an array of outputs, one row per example, kept during judging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dltool.tasks import _answers, _figures, _outputs
from dltool.tasks._outputs import Evaluated
from dltool.tasks.base import Asked, Judgement, Split, Task
from dltool.training.outputs import cross_entropy

if TYPE_CHECKING:
    import pandas as pd


class ArrayTask(Task):
    """Outputs are classes or numbers as the loss and the last activation read them, whichever the targets are.

    Figures: macro averages over classes of precision, recall and F1, where outputs are one class an example; where
    they are no classes and the loss is no cross-entropy `mae`, `rmse` and `r2`.
    Tables: `classes`, `confusion` (rows: truth).
    """

    def judge(self, model: Any, split: Split) -> Judgement:
        columns, classes = split.trained.get("features"), split.trained.get("num_classes")
        evaluated = _outputs.evaluate(model, split.pipeline(), split.run, split.shown, columns, classes)
        evaluated.origin = split.data.origins(split.name)
        evaluated.class_names = split.trained.get("class_names")
        return self.judge_outputs(evaluated)

    def average(self, judgements: Sequence[Judgement]) -> Judgement | None:
        return self.judge_outputs(_outputs.average([judgement.outcome for judgement in judgements]))

    def table_of_answers(self, judgement: Judgement) -> pd.DataFrame:
        return _answers.answers(judgement.outcome)

    def predict(
        self, models: Sequence[Any], x: Any, facts: Mapping[str, Any], asked: Asked, places: Sequence[Any] = ()
    ) -> pd.DataFrame:
        import pandas as pd

        members = [_answers.unjudged(model, x, facts) for model in models]
        evaluated = replace(members[0], outputs=_outputs.mean_outputs(members)) if len(members) > 1 else members[0]
        return pd.DataFrame(_answers.predictions(evaluated) if asked.every else _answers.best(evaluated, asked.top))

    def judge_outputs(self, evaluated: Evaluated) -> Judgement:
        """Return how outputs that are there do."""
        counted = {"examples": len(evaluated.targets)}
        judgement = Judgement(evaluated.run, evaluated.split, counted, dict(evaluated.figures), self, {}, evaluated)
        if evaluated.is_classification:
            figures, classes, confusion = _figures.of_classes(evaluated)
            tables = {"classes": classes, "confusion": confusion}
            return replace(judgement, figures=judgement.figures | figures, tables=tables)
        if cross_entropy(evaluated.model) is None:
            judgement.figures |= _figures.of_numbers(evaluated)
        return judgement
