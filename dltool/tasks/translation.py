"""Translation: sentences into other languages, judged by search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError
from dltool.tasks.base import Asked, Judged, Judgement, Question, Split
from dltool.tasks.language import Language, check_size, question_of

if TYPE_CHECKING:
    import pandas as pd

    from dltool.tasks.base import Answer

BEAM = 5  # hypotheses kept


class Translation(Language):
    """A model reads a sentence and writes its translation.

    Facts: `directions`, `zero_shot` (those never trained), `tokens`, `max_length`, `source_vocabulary_size`,
    `target_vocabulary_size`.
    Figures: loss and compiled metrics over tokens; `bleu`, `chrf` and `exact_match`, means over the trained
    directions, and `zero_shot_bleu`, ... over the others.
    Tables: `directions`, where there are several.
    """

    targets = "translations"
    takes = frozenset({"top", "to"})

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "directions" in facts

    def facts_of_outline(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return dict(facts)

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {name: facts[name] for name in ("tokens", "directions", "zero_shot", "max_length") if name in facts}

    def vocabulary(self, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> Any:
        from dltool.data.vocabularies import Vocabularies

        both = Vocabularies.load(files)
        check_size(facts, "source_vocabulary_size", both.source.size)
        check_size(facts, "target_vocabulary_size", both.target.size)
        return both

    def counts(self, facts: Mapping[str, Any], splits: Any) -> dict[str, dict[str, int]]:
        return {}

    def problem_of_layers(self) -> str | None:
        return "the data are sentences and their translations: name an architecture for them, such as Seq2Seq"

    def problem_of_architecture(self, model: Any) -> str | None:
        return None if hasattr(model, "encode") else "the data are pairs of sentences"

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        return None

    def problem_of_augmentation(self, facts: Mapping[str, Any]) -> str | None:
        return "sentences"

    def judge(self, model: Any, split: Split) -> Judgement:
        import pandas as pd

        from dltool.decoding import translation_scores
        from dltool.training.evaluation import Evaluation

        data = split.data
        dataset, part = data.dataset, data.splits[split.name].part
        batching = data.batching(split.batch_size)
        trained, unseen = data.facts["directions"], data.facts["zero_shot"]
        evaluation = Evaluation(model)  # one trace serves all directions
        figures = evaluation.run(split.pipeline())
        answers = _answers_of_split(Question([model], split.trained, vocabulary=data.vocabulary), split)
        rows: list[dict[str, Any]] = []
        for direction in [*trained, *unseen]:
            pipeline = dataset.pipeline_of_direction(part, direction, batching)
            own = answers[answers["direction"] == direction]
            scores = translation_scores.scores(own["prediction"].tolist(), own["target"].tolist())
            of_tokens = evaluation.run(pipeline) if len(trained) + len(unseen) > 1 else {}
            row = {"direction": direction, "zero_shot": direction in unseen, "examples": pipeline.size}
            rows.append({**row, **of_tokens, **scores})
        for kind, directions in (("", trained), ("zero_shot_", unseen)):
            for figure in translation_scores.FIGURES if directions else ():
                figures[f"{kind}{figure}"] = fmean(row[figure] for row in rows if row["direction"] in directions)
        counted = {"examples": data.splits[split.name].size}
        tables = {"directions": pd.DataFrame(rows)} if len(rows) > 1 else {}
        return Judgement(split.run, split.shown, counted, figures, self, tables, Judged(model, split, answers))

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        """Return a row a sentence and direction, with the translation that is there as target."""
        if len(judgements) == 1:
            return judgements[0].outcome.table
        split, question = question_of(judgements, asked)
        return _answers_of_split(question, split)

    def answerer(self, question: Question) -> Answer:
        language = language_to_name(question.facts, question.asked.to)
        translate = _translator(question)
        return lambda lines, places: _answers(translate, lines, language, question.asked.top)


def _translator(question: Question) -> Any:
    """Return the search by which models translate together, whoever asks."""
    from dltool.decoding.ensemble import Ensemble
    from dltool.decoding.sentence_translator import SentenceTranslator

    models, top = list(question.models), question.asked.top
    return SentenceTranslator(
        models[0] if len(models) == 1 else Ensemble(models),
        question.vocabulary,
        longest_source=int(question.facts["max_length"]),
        beam_size=max(BEAM, top),
        best=top,
    )


def _answers(translate: Any, lines: Sequence[str], language: str | None, top: int) -> pd.DataFrame:
    """Return the `top` best translations of each line and their scores."""
    import pandas as pd

    columns: dict[str, list[Any]] = {}
    translations = translate(list(lines), language)[0]
    for rank in range(top):
        end = f"_{rank + 1}" if rank else ""
        ranked = [best[rank] if rank < len(best) else None for best in translations]
        columns[f"prediction{end}"] = [one.text if one else "" for one in ranked]
        columns[f"score{end}"] = [one.score if one else None for one in ranked]
    return pd.DataFrame(columns)


def _answers_of_split(question: Question, split: Split) -> pd.DataFrame:
    """Return a row for each sentence of a split in each direction: its line, target and answers."""
    import pandas as pd

    data, translate, tables = split.data, _translator(question), []
    lines = data.dataset.lines(data.splits[split.name].part)
    for direction in [*data.facts["directions"], *data.facts["zero_shot"]]:
        source, target = direction.split("-")
        own = _answers(translate, lines[source], data.dataset.told(target), question.asked.top)
        where = {"direction": direction, "line": range(1, len(own) + 1), "target": lines[target]}
        tables.append(pd.concat([pd.DataFrame(where), own], axis=1))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "index", range(len(table)))
    return table


def language_to_name(facts: Mapping[str, Any], to: str | None) -> str | None:
    """Return the language that a sentence has to name, None where the run translates into one only.

    Args:
        facts: of the data that the run was trained on.
        to: the language that is asked for.
    Raises:
        UsageError: the run does not translate into it, or into several and none is asked for.
    """
    languages = list(dict.fromkeys(one.split("-")[1] for one in (*facts["directions"], *facts["zero_shot"])))
    if to is not None and to not in languages:
        raise UsageError(f"--to {to}: the run translates into {', '.join(languages)}")
    if to is None and len(languages) > 1:
        raise UsageError(f"--to: the run translates into {', '.join(languages)}. Say which.")
    return to if len(languages) > 1 else None
