"""Language: each token of a text from those before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError
from dltool.tasks.base import Asked, Judgement, Split, Task
from dltool.training.outputs import outputs_problem

if TYPE_CHECKING:
    import pandas as pd


class Language(Task):
    """A model gives a number for each token that could come next.

    Facts: `tokens` (their kind), `sequence_length`, `vocabulary_size`, `num_classes` (the same), `train_tokens`, ...
    Figures: loss and compiled metrics, over tokens.
    """

    targets = "tokens of a text"
    has_vocabulary = True
    reads_lines = True
    takes = frozenset({"top"})

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "sequence_length" in facts

    def facts_of_outline(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {**facts, "input_shape": (facts["sequence_length"],)}  # counted for a window

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        known = ["tokens", "sequence_length"]
        known += ["vocabulary_size"] if facts.get("tokens") == "pieces" else []
        return {name: facts[name] for name in known if name in facts}

    def vocabulary(self, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> Any:
        from dltool.data.tokenizers import base

        found = base.find(facts["tokens"]).load(files)
        check_size(facts, "vocabulary_size", found.size)
        return found

    def counts(self, facts: Mapping[str, Any], splits: Sequence[str]) -> dict[str, dict[str, int]]:
        return {"tokens": {name: facts[f"{name}_tokens"] for name in splits}}

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        return outputs_problem(model, facts.get("num_classes"))

    def problem_of_augmentation(self, facts: Mapping[str, Any]) -> str | None:
        return "the tokens of a text"

    def problem_of_class_weight(self) -> str | None:
        return "weighs classes of examples; of text each token is one. Remove it."

    def judge(self, model: Any, split: Split) -> Judgement:
        from dltool.training.evaluation import Evaluation

        counted = {"tokens": split.data.facts[f"{split.name}_tokens"]}
        return Judgement(split.run, split.shown, counted, Evaluation(model).run(split.pipeline()), self)

    def table_of_answers(self, judgement: Judgement) -> Any:
        raise UsageError("--predictions: of text and sentences outputs for each token are not kept. Leave it away.")

    def predict_lines(
        self, models: Sequence[Any], vocabulary: Any, facts: Mapping[str, Any], asked: Asked
    ) -> Callable[[Sequence[str]], pd.DataFrame]:
        """Return a function that gives the tokens that could follow each line, the likeliest first."""
        import numpy as np
        import pandas as pd

        from dltool.tasks import _scoring

        def answer(lines: Sequence[str]) -> pd.DataFrame:
            rows = []
            for line in lines:
                tokens = np.asarray(vocabulary.encode(line), np.int32)
                row: dict[str, Any] = {"prediction": None, "probability": None}
                if len(tokens):
                    chances = np.mean([_scoring.next_token(model, tokens) for model in models], axis=0)
                    for rank, token in enumerate(np.argsort(-chances, kind="stable")[: asked.top]):
                        end = f"_{rank + 1}" if rank else ""
                        row[f"prediction{end}"] = vocabulary.decode([int(token)])
                        row[f"probability{end}"] = float(chances[token])
                rows.append(row)
            return pd.DataFrame(rows)

        return answer


def check_size(facts: Mapping[str, Any], name: str, size: int) -> None:
    """Raise `ValueError` unless a vocabulary has as many tokens as facts of the data say."""
    if size != facts.get(name, size):
        raise ValueError(f"it has {size} tokens, data.json says {facts[name]}")
