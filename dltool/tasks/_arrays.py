"""The common base of classification and regression: an array of outputs, one row per example, kept during judging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dltool.tasks import _answers, _explanations, _figures, _outputs
from dltool.tasks._outputs import Evaluated
from dltool.tasks.base import Asked, Judgement, Question, Split, Task
from dltool.training.outputs import cross_entropy

if TYPE_CHECKING:
    import pandas as pd

    from dltool.tasks.base import Answer


class ArrayTask(Task):
    """Outputs are classes or numbers as the loss and the last activation read them, whichever the targets are.

    Figures: macro averages over classes of precision, recall and F1, where outputs are one class an example; where
    they are no classes and the loss is no cross-entropy `mae`, `rmse` and `r2`.
    Tables: `classes`, `confusion` (rows: truth).
    """

    answers_in_one_pass = True

    def judge(self, model: Any, split: Split) -> Judgement:
        evaluated = _outputs.evaluate(model, split.pipeline(), split.run, split.shown, split.trained)
        evaluated.origin = split.data.origins(split.name)
        return self.judge_outputs(evaluated)

    def average(self, judgements: Sequence[Judgement]) -> Judgement | None:
        return self.judge_outputs(_outputs.average([judgement.outcome for judgement in judgements]))

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        return _answers.answers(judgements[-1].outcome, asked)

    def answerer(self, question: Question) -> Answer:
        import pandas as pd

        asks, explain = _answers.asks(question), _explanations.explainer(question)

        def answer(x: Any, places: Sequence[Any]) -> pd.DataFrame:
            evaluated = _answers.together([ask(x) for ask in asks])
            _answers.check_asked([evaluated], question.asked)
            return pd.DataFrame(_answers.asked_columns(evaluated, question.asked) | explain(x))

        return answer

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
