"""Runs of translation, opened to translate together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltool.data.vocabularies import Vocabularies
from dltool.errors import DataError, UsageError, one_line
from dltool.runs import directory, opened
from dltool.runs.opened import OpenedRun
from dltool.tasks.translation import language_to_name

Translations = list[list[Any]]  # a line each: its best translations


class Translator:
    """An ensemble of finished runs that translates sentences.

    Args:
        runs: finished runs.
        to: the language to translate into, None where the runs know one.
        device: "auto", "cpu" or "gpu".
        search: arguments of `SentenceTranslator`.
    Raises:
        DataError: a run can't be read or translates nothing.
        UsageError: the runs do not fit each other, or the language or the search does not fit them.
    """

    def __init__(self, runs: Sequence[OpenedRun], to: str | None, device: str, **search: Any) -> None:
        vocabularies, self._language, longest = _common(runs, to)
        opened.configure(runs, device)
        models = [run.model for run in runs]
        from dltool.decoding.ensemble import Ensemble
        from dltool.decoding.sentence_translator import SentenceTranslator

        model = models[0] if len(models) == 1 else Ensemble(models)
        try:
            self._translate = SentenceTranslator(model, vocabularies, longest_source=longest, **search)
        except ValueError as error:
            raise UsageError(f"{runs[0]}: {one_line(error)}") from error

    def __call__(self, sentences: Sequence[str]) -> tuple[Translations, Sequence[int]]:
        """Return the best translations of each sentence, and the numbers of sentences that were cut."""
        return self._translate(sentences, self._language)


def _common(runs: Sequence[OpenedRun], to: str | None) -> tuple[Vocabularies, str | None, int]:
    """Return what runs have in common: vocabularies, the language that a sentence has to name, tokens at most.

    Raises:
        DataError: a run was not trained to translate.
        UsageError: runs do not fit each other, or the language does not fit them.
    """
    kept, spoken, longest = [], [], []  # a run each: vocabularies, directions, tokens
    for run in runs:
        if not isinstance(run.vocabulary, Vocabularies):
            known = "ParallelText and NumberWords are such data"
            raise DataError(f"{run}: was not trained to translate ({known})")
        kept.append(run.vocabulary)
        with run.directory.reading(directory.DATA):
            longest.append(int(run.facts["max_length"]))
            spoken.append({*run.facts["directions"], *run.facts["zero_shot"]})
    for run, vocabulary, directions in zip(runs[1:], kept[1:], spoken[1:], strict=True):
        if vocabulary.files() != kept[0].files() or directions != spoken[0]:
            raise UsageError(
                f"{run}: has another vocabulary or other directions than {runs[0]}. "
                "Only runs of the same data decode together."
            )
    with runs[0].directory.reading(directory.DATA):
        language = language_to_name(runs[0].facts, to)
    return kept[0], language, min(longest)
