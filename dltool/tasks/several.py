"""Several targets an example, each of a task of its own, such as a class and a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dltool.tasks.base import Judgement, Split, Task


class Several(Task):
    """A model has an output for each target, by its name.

    Facts: `targets`, the facts of each by its name.
    Figures: loss and compiled metrics, over all outputs and of each.
    """

    targets = "several"

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "targets" in facts

    def problem_of_augmentation(self, facts: Mapping[str, Any]) -> str | None:
        return super().problem_of_augmentation(facts) if "inputs" not in facts else "several arrays by name"

    def problem_of_class_weight(self) -> str | None:
        return "weighs the classes of one target, and the data have several. Use compile.loss_weights, or remove it."

    def judge(self, model: Any, split: Split) -> Judgement:
        from dltool.training.evaluation import Evaluation

        counted = {"examples": split.data.splits[split.name].size}
        return Judgement(split.run, split.shown, counted, Evaluation(model).run(split.pipeline()), self)
