"""Translation: sentences into other languages, judged by search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError
from dltool.tasks.base import Asked, Judgement, Split
from dltool.tasks.language import Language, check_size

if TYPE_CHECKING:
    import pandas as pd


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
        from dltool.decoding.sentence_translator import SentenceTranslator
        from dltool.training.evaluation import Evaluation

        data = split.data
        dataset, part = data.dataset, data.splits[split.name].part
        batching, lines = data.batching(split.batch_size), dataset.lines(part)
        trained, unseen = data.facts["directions"], data.facts["zero_shot"]
        evaluation = Evaluation(model)  # one trace serves all directions
        figures = evaluation.run(split.pipeline())
        translator = SentenceTranslator(model, data.vocabulary, longest_source=data.facts["max_length"])
        rows: list[dict[str, Any]] = []
        for direction in [*trained, *unseen]:
            pipeline = dataset.pipeline_of_direction(part, direction, batching)
            source, target = direction.split("-")
            texts = [best[0].text for best in translator(lines[source], dataset.told(target))[0]]
            scores = translation_scores.scores(texts, lines[target])
            of_tokens = evaluation.run(pipeline) if len(trained) + len(unseen) > 1 else {}
            row = {"direction": direction, "zero_shot": direction in unseen, "examples": pipeline.size}
            rows.append({**row, **of_tokens, **scores})
        for kind, directions in (("", trained), ("zero_shot_", unseen)):
            for figure in translation_scores.FIGURES if directions else ():
                figures[f"{kind}{figure}"] = fmean(row[figure] for row in rows if row["direction"] in directions)
        counted = {"examples": data.splits[split.name].size}
        tables = {"directions": pd.DataFrame(rows)} if len(rows) > 1 else {}
        return Judgement(split.run, split.shown, counted, figures, self, tables)

    def predict_lines(
        self, models: Sequence[Any], vocabulary: Any, facts: Mapping[str, Any], asked: Asked
    ) -> Callable[[Sequence[str]], pd.DataFrame]:
        import pandas as pd

        from dltool.decoding.ensemble import Ensemble
        from dltool.decoding.sentence_translator import SentenceTranslator

        told = language_to_name(facts, asked.to)
        translator = SentenceTranslator(
            models[0] if len(models) == 1 else Ensemble(list(models)),
            vocabulary,
            longest_source=int(facts["max_length"]),
            beam_size=max(5, asked.top),
            best=asked.top,
        )

        def answer(lines: Sequence[str]) -> pd.DataFrame:
            columns: dict[str, list[Any]] = {}
            found = translator(list(lines), told)[0]
            for rank in range(asked.top):
                end = f"_{rank + 1}" if rank else ""
                ranked = [best[rank] if rank < len(best) else None for best in found]
                columns[f"prediction{end}"] = [one.text if one else "" for one in ranked]
                columns[f"score{end}"] = [one.score if one else None for one in ranked]
            return pd.DataFrame(columns)

        return answer


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
