"""Translation: sentences into other languages, judged by search."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from dltool.tasks.base import Judgement, Split
from dltool.tasks.language import Language, check_size


class Translation(Language):
    """A model reads a sentence and writes its translation.

    Facts: `directions`, `zero_shot` (those never trained), `tokens`, `max_length`, `source_vocabulary_size`,
    `target_vocabulary_size`.
    Figures: loss and compiled metrics over tokens; `bleu`, `chrf` and `exact_match`, means over the trained
    directions, and `zero_shot_bleu`, ... over the others.
    Tables: `directions`, where there are several.
    """

    targets = "translations"

    def recognises(self, facts: Mapping[str, Any]) -> bool:
        return "directions" in facts

    def facts_of_outline(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return dict(facts)

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {name: facts[name] for name in ("tokens", "directions", "zero_shot", "max_length") if name in facts}

    def vocabulary(self, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> Any:
        from dltool.data.tokenizers.sentence_pieces import Vocabularies

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
