"""Several targets an example, each of a task of its own, such as a class and a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dltool.tasks import _answers, _outputs
from dltool.tasks import base as tasks
from dltool.tasks._arrays import ArrayTask
from dltool.tasks._outputs import Evaluated
from dltool.tasks.base import AVERAGE, Asked, Judgement, Question, Split, Task
from dltool.training import outputs

if TYPE_CHECKING:
    import pandas as pd

    from dltool.tasks.base import Answer

KEYS = ("index", "file", "row")  # columns of answers that say which example it is


@dataclass
class Outcome:
    """The result of a run with several outputs.

    Args:
        model: the compiled model.
        each: the outputs by name, with their targets.
        tasks: of each target by its name.
    """

    model: Any
    each: dict[str, Evaluated]
    tasks: dict[str, ArrayTask]


class Several(Task):
    """A model has an output for each target, by its name; each is judged by its own task's `judge_outputs`.

    Facts: `targets`, the facts of each by its name.
    Figures: loss and compiled metrics, over all outputs and of each; those of each target's task as NAME_FIGURE.
    Tables: those of each target's task, with a column `output`.
    """

    targets = "several"
    answers_in_one_pass = True
    takes = frozenset({"top", "every"})

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "targets" in facts

    def problem_of_augmentation(self, facts: Mapping[str, Any]) -> str | None:
        return super().problem_of_augmentation(facts) if "inputs" not in facts else "several arrays by name"

    def problem_of_class_weight(self) -> str | None:
        return "weighs the classes of one target, and the data have several. Use compile.loss_weights, or remove it."

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        problems = self.problems_of_outputs(model, facts)
        return next((f"the output '{name}' {problem}" for name, problem in problems.items()), None)

    def problems_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> dict[str, str]:
        found = {}
        for name, one in outputs.each(model).items():
            own = facts["targets"].get(name, {})
            task = tasks.of(own)
            if not isinstance(task, ArrayTask):
                found[name] = f"answers {task.targets}, which can't be one of several targets: give them alone."
            elif (problem := task.problem_of_outputs(one, own)) is not None:
                found[name] = problem.replace("${data.", f"${{data.{name}.")
        return found

    def judge(self, model: Any, split: Split) -> Judgement:
        passed = _outputs.pass_over(model, split.pipeline(), split.trained.get("features"))
        origin = split.data.origins(split.name)
        each, own = {}, {}
        for name, one in outputs.each(model).items():
            facts = split.trained["targets"][name]
            own[name] = _array_task(facts)
            each[name] = Evaluated(
                split.run, split.shown, passed.targets[name], passed.outputs[name], {}, one,
                origin=origin, **_outputs.of_facts(facts),
            )  # fmt: skip
        return self._judged(Outcome(model, each, own), passed.figures)

    def average(self, judgements: Sequence[Judgement]) -> Judgement | None:
        first: Outcome = judgements[0].outcome
        each = {}
        for name, one in first.each.items():
            members = [judgement.outcome.each[name] for judgement in judgements]
            _outputs.check_together(members)
            each[name] = replace(one, run=AVERAGE, outputs=_outputs.mean_outputs(members))
        targets, given = ({name: getattr(one, part) for name, one in each.items()} for part in ("targets", "outputs"))
        return self._judged(replace(first, each=each), _outputs.figures_of(first.model, targets, given))

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        import pandas as pd

        parts: list[pd.DataFrame] = []
        for name, one in judgements[-1].outcome.each.items():
            table = _answers.answers(one, asked)
            if parts:
                table = table.drop(columns=[column for column in KEYS if column in table])
            parts.append(table.rename(columns=lambda c, name=name: c if c in KEYS else f"{name}_{c}"))
        return pd.concat(parts, axis=1)

    def answerer(self, question: Question) -> Answer:
        import pandas as pd

        asks = _answers.asks_of_several(question)

        def answer(x: Any, places: Sequence[Any]) -> pd.DataFrame:
            members = [ask(x) for ask in asks]
            outputs = {name: _answers.together([member[name] for member in members]) for name in members[0]}
            _answers.check_asked(list(outputs.values()), question.asked)
            columns: dict[str, Any] = {}
            for name, one in outputs.items():
                own = _answers.asked_columns(one, question.asked)
                columns |= {f"{name}_{word}": values for word, values in own.items()}
            return pd.DataFrame(columns)

        return answer

    def _judged(self, outcome: Outcome, figures: dict[str, float]) -> Judgement:
        import pandas as pd

        first = next(iter(outcome.each.values()))
        figures = dict(figures)
        tables: dict[str, list[pd.DataFrame]] = {}
        for name, one in outcome.each.items():
            own = outcome.tasks[name].judge_outputs(one)
            figures |= {f"{name}_{figure}": value for figure, value in own.figures.items()}
            for word, table in own.tables.items():
                table.insert(0, "output", name, allow_duplicates=True)
                tables.setdefault(word, []).append(table)
        joined = {word: pd.concat(found, ignore_index=True) for word, found in tables.items()}
        counted = {"examples": len(first.targets)}
        return Judgement(first.run, first.split, counted, figures, self, joined, outcome)


def _array_task(facts: Mapping[str, Any]) -> ArrayTask:
    """Return the task of one target; a model is trained for no others."""
    task = tasks.of(facts)
    assert isinstance(task, ArrayTask)
    return task
