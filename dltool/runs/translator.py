"""Runs of translation, opened to translate together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltool.data.vocabularies import Vocabularies
from dltool.errors import DataError, UsageError, one_line
from dltool.runs import directory as runs
from dltool.runs import opened, resume
from dltool.runs.directory import RunDirectory
from dltool.runs.opened import OpenedRun
from dltool.tasks.translation import language_to_name

Translations = list[list[Any]]  # a line each: its best translations


class Translator:
    """An ensemble of finished runs that translates sentences.

    Args:
        directories: of the runs.
        to: the language to translate into, None where the runs know one.
        device: "auto", "cpu" or "gpu".
        search: arguments of `SentenceTranslator`.
    Raises:
        DataError: a run can't be read or translates nothing.
        UsageError: the runs do not fit each other, or the language or the search does not fit them.
    """

    def __init__(self, directories: Sequence[RunDirectory], to: str | None, device: str, **search: Any) -> None:
        vocabularies, self._language, longest = _common(directories, to)
        opened_runs = [OpenedRun(directory.path) for directory in directories]
        opened.configure(opened_runs, device)
        models = [run.model for run in opened_runs]
        from dltool.decoding.ensemble import Ensemble
        from dltool.decoding.sentence_translator import SentenceTranslator

        model = models[0] if len(models) == 1 else Ensemble(models)
        try:
            self._translate = SentenceTranslator(model, vocabularies, longest_source=longest, **search)
        except ValueError as error:
            raise UsageError(f"{directories[0]}: {one_line(error)}") from error

    def __call__(self, sentences: Sequence[str]) -> tuple[Translations, Sequence[int]]:
        """Return the best translations of each sentence, and the numbers of sentences that were cut."""
        return self._translate(sentences, self._language)


def _common(directories: Sequence[RunDirectory], to: str | None) -> tuple[Vocabularies, str | None, int]:
    """Return what runs have in common: vocabularies, the language that a sentence has to name, tokens at most.

    Raises:
        DataError: a run was not trained to translate.
        UsageError: runs do not fit each other, or the language does not fit them.
    """
    kept, facts, spoken, longest = [], [], [], []  # a run each: vocabularies, facts of the data, directions, tokens
    for directory in directories:
        vocabulary = resume.own_vocabulary(directory)
        if not isinstance(vocabulary, Vocabularies):
            known = "ParallelText and NumberWords are such data"
            raise DataError(f"{directory}: was not trained to translate ({known})")
        kept.append(vocabulary)
        with directory.reading(runs.DATA):
            one = directory.read_json(runs.DATA)
            facts.append(one)
            longest.append(int(one["max_length"]))
            directions = {*one["directions"], *one["zero_shot"]}
        spoken.append(directions)
    first, *others = spoken
    for directory, vocabulary, directions in zip(directories[1:], kept[1:], others, strict=True):
        if vocabulary.files() != kept[0].files() or directions != first:
            raise UsageError(
                f"{directory}: has another vocabulary or other directions than {directories[0]}. "
                "Only runs of the same data decode together."
            )
    with directories[0].reading(runs.DATA):
        language = language_to_name(facts[0], to)
    return kept[0], language, min(longest)
