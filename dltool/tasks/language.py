"""Language: each token of a text from those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import UsageError
from dltool.tasks.base import Asked, Judged, Judgement, Question, Split, Task
from dltool.training.outputs import outputs_problem

if TYPE_CHECKING:
    import pandas as pd

    from dltool.data.inputs.base import Reader
    from dltool.tasks._readers import Source
    from dltool.tasks.base import Answer


class Language(Task):
    """A model gives a number for each token that could come next.

    Facts: `tokens` (their kind), `sequence_length`, `vocabulary_size`, `num_classes` (the same), `train_tokens`, ...
    Figures: loss and compiled metrics, over tokens.
    """

    targets = "tokens of a text"
    has_vocabulary = True
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
        figures = Evaluation(model).run(split.pipeline())
        return Judgement(split.run, split.shown, counted, figures, self, outcome=Judged(model, split))

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        """Return a row a line of the split's text, with the token that follows it as target."""
        import pandas as pd

        split, question = question_of(judgements, asked)
        lines = split.data.dataset.text(split.data.splits[split.name].part).split("\n")
        ends = ["\n"] * (len(lines) - 1) + [""]
        if not lines[-1]:
            del lines[-1], ends[-1]
        answer = self.answerer(question)
        targets = [_following(question.vocabulary, line, end) for line, end in zip(lines, ends, strict=True)]
        columns = {"index": range(len(lines)), "line": range(1, len(lines) + 1), "target": targets}
        return pd.concat([pd.DataFrame(columns), answer(lines, columns["line"])], axis=1)

    # -- new examples ------------------------------------------------------------------------------------

    def reader(self, source: Source) -> Reader:
        from dltool.tasks._lines import LineReader

        if source.kind is not None:
            raise UsageError("--data: runs of text answer lines. Give files, or - for standard input.")
        return LineReader(source.names, source.stdin)

    def answerer(self, question: Question) -> Answer:
        """Return a function that gives the tokens that could follow each line, the likeliest first.

        `log_probability` is that of the line's `tokens` after the first, in nats. Probabilities of several models are
        averaged. Neither the unknown token nor outputs that stand for no token are given as answers.
        """
        import pandas as pd

        from dltool.data.tokenizers.base import UNKNOWN
        from dltool.tasks._scoring import LineScorer

        vocabulary, scorers = question.vocabulary, [LineScorer(model) for model in question.models]
        known = [token for token in range(vocabulary.size) if token != UNKNOWN]
        top = min(question.asked.top, len(known))
        ends = [f"_{rank}" if rank > 1 else "" for rank in range(1, top + 1)]
        names = [f"{word}{end}" for end in ends for word in ("prediction", "probability")]

        def answer(lines: Sequence[str], places: Sequence[Any]) -> pd.DataFrame:
            rows: list[list[Any]] = []
            for line in lines:
                tokens = np.asarray(vocabulary.encode(line), np.int32)
                if not len(tokens):
                    rows.append([*[None] * len(names), 0.0, 0])
                    continue
                read = [scorer(tokens) for scorer in scorers]
                given = np.mean([one for one, _ in read], axis=0, dtype=np.float64)
                following = np.stack([one[: vocabulary.size] for _, one in read]).mean(axis=0, dtype=np.float64)
                row: list[Any] = []
                for token in np.array(known)[np.argsort(-following[known], kind="stable")[:top]]:
                    row += [vocabulary.decode([int(token)]), float(following[token])]
                with np.errstate(divide="ignore"):
                    rows.append([*row, float(np.log(given).sum()), len(tokens)])
            return pd.DataFrame(rows, columns=[*names, "log_probability", "tokens"])

        return answer


def question_of(judgements: Sequence[Judgement], asked: Asked) -> tuple[Split, Question]:
    """Return the split that runs were judged on, and the question that they answer together on it.

    Raises:
        UsageError: they read text in other vocabularies.
    """
    judged: list[Judged] = [judgement.outcome for judgement in judgements]
    split = judged[0].split
    vocabulary = split.data.vocabulary
    for other in judged[1:]:
        if other.split.data.vocabulary.files() != vocabulary.files():
            raise UsageError(f"--predictions: {other.split.run} has another vocabulary than {split.run}.")
    return split, Question([one.model for one in judged], split.trained, asked, vocabulary)


def _following(vocabulary: Any, line: str, end: str) -> str:
    """Return the token that follows a line, "" where the text ends."""
    count, whole = len(vocabulary.encode(line)), vocabulary.encode(line + end)
    return vocabulary.decode([int(whole[count])]) if len(whole) > count else ""


def check_size(facts: Mapping[str, Any], name: str, size: int) -> None:
    """Raise `ValueError` unless a vocabulary has as many tokens as facts of the data say."""
    if size != facts.get(name, size):
        raise ValueError(f"it has {size} tokens, data.json says {facts[name]}")
