"""Sentences and their translations in text files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltool.data import arguments
from dltool.data.formats import locate, members, text_decoding
from dltool.data.translation import TranslationDataset

LANGUAGE = "{language}"  # stands in a path for each language's name


class ParallelText(TranslationDataset):
    """Line-aligned files, one per language, or a file of tab-separated columns, one per language; UTF-8.

    Args:
        path: of the training part. A path with {language} in it, such as train.{language}.gz, stands for one file per
            language, aligned line by line; any other is a file with a tab between languages (also inside a .zip).
            Plain or .gz; a relative path that does not exist is looked for below $DLTOOL_DATA.
        directions: what to learn, such as [en-de].
        zero_shot: directions that are never trained, only evaluated. Defaults to none.
        columns: languages of the columns of tab-separated files; further columns are ignored. Defaults to the two of
            the first direction.
        validation_path: as `path`, of the "validation" part. Defaults to none.
        test_path: as `path`, of the "test" part. Defaults to none.
        tokens: "words", "characters", "bpe" or "unigram", learned by sentencepiece from the training split. Defaults to
            "bpe".
        vocabulary_size: tokens of a vocabulary. Defaults to 8,000 pieces, or all words or characters.
        shared_vocabulary: whether source and target have one vocabulary together. Defaults to true.
        max_length: tokens; longer sentences are cut. Defaults to 256.
        bpe_dropout: p, in [0, 1): the probability of skipping a merge as training sentences are cut into pieces,
            redrawn each epoch; 0.1 helps if sentences are few (Provilkov et al., 2020). Defaults to 0.
    Raises:
        FileNotFoundError: if a path does not exist.
        ValueError: if an argument is out of its range; later, with file and line, if a side is empty, a column is
            missing, bytes are no UTF-8 or the files have different numbers of lines.
    Limits: the text is held in memory. Splits by fraction (`data.test_split`, `data.validation_split`) never have the
        same source sentence on two sides; parts given as files stay unchanged.
    Reference: lecture slides 139-141.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        directions: Sequence[str],
        zero_shot: Sequence[str] = (),
        columns: Sequence[str] | None = None,
        validation_path: str | os.PathLike | None = None,
        test_path: str | os.PathLike | None = None,
        tokens: str = "bpe",
        vocabulary_size: int | None = None,
        shared_vocabulary: bool = True,
        max_length: int = 256,
        bpe_dropout: float = 0.0,
    ):
        super().__init__(directions, zero_shot, tokens, vocabulary_size, shared_vocabulary, max_length, bpe_dropout)
        self.columns = arguments.names("ParallelText", "columns", columns or self.directions[0].split("-"))
        given = {
            "train": ("path", path),
            "validation": ("validation_path", validation_path),
            "test": ("test_path", test_path),
        }
        self._paths = {part: self._files(*one) for part, one in given.items() if one[1] is not None or part == "train"}

    @property
    def source(self) -> str:
        return ", ".join(map(str, self._paths["train"].values()))

    def stored(self) -> list[str]:
        return list(self._paths)

    def files(self) -> list[Path]:
        return [path for paths in self._paths.values() for path in paths.values()]

    def load(self, part: str) -> dict[str, list[str]]:
        paths = self._paths[part]
        if set(paths) != {""}:
            return _aligned(paths)
        return _columns(paths[""], self.columns, self.languages)

    def _files(self, name: str, given: Any) -> dict[str, Path]:
        """Language -> file; "" stands for all languages in one."""
        if not isinstance(given, str | os.PathLike) or LANGUAGE not in os.fspath(given):
            for language in self.languages:
                if language not in self.columns:
                    raise ValueError(
                        f"ParallelText: 'columns' has no '{language}': list the languages of the file's columns, or "
                        f"write {LANGUAGE} where the names of files differ."
                    )
            return {"": arguments.existing("ParallelText", name, _placed(given), "file")}
        return {
            language: arguments.existing(
                "ParallelText", name, _placed(os.fspath(given).replace(LANGUAGE, language)), "file"
            )
            for language in self.languages
        }


def _placed(path: str | os.PathLike) -> str | os.PathLike:
    return locate.placed(path) if isinstance(path, str | os.PathLike) else path


def _aligned(paths: dict[str, Path]) -> dict[str, list[str]]:
    found = {language: _lines(text_decoding.read(path)) for language, path in paths.items()}
    first = next(iter(paths))
    for language, lines in found.items():
        if len(lines) != len(found[first]):
            short, long = sorted((first, language), key=lambda one: len(found[one]))
            raise ValueError(
                f"{paths[short]}:{len(found[short]) + 1}: there is no such line, but {paths[long].name} has "
                f"{len(found[long])} lines: each must be the translation of the other's."
            )
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                raise ValueError(
                    f"{paths[language]}:{number}: is empty. Remove the line from the files of all languages."
                )
    if not found[first]:
        raise ValueError(f"{paths[first]}: is empty. Give sentences.")
    return found


def _columns(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> dict[str, list[str]]:
    name, text = str(path), ""
    if path.name.endswith(".zip"):
        held = {
            one: read
            for one, read in members.files(path).items()
            if one.endswith((".txt", ".tsv")) and "/_" not in f"/{one}"
        }
        if len(held) != 1:
            listed = ", ".join(held) or "none"
            raise ValueError(f"{path}: must hold one file of sentences (.txt or .tsv); it has {listed}. Unpack it.")
        ((member, read),) = held.items()
        name = f"{path}/{member}"
        text = text_decoding.decoded(read(), name)
    else:
        text = text_decoding.read(path)
    found: dict[str, list[str]] = {language: [] for language in wanted}
    for number, line in enumerate(_lines(text), start=1):
        cells = line.split("\t")
        if len(cells) < len(columns):
            raise ValueError(
                f"{name}:{number}: has {len(cells)} column{'s' * (len(cells) != 1)}, needs {len(columns)} "
                f"({', '.join(columns)}) with a tab between."
            )
        for language, cell in zip(columns, cells, strict=False):
            if language in found:
                if not cell.strip():
                    raise ValueError(
                        f"{name}:{number}: the column of '{language}' is empty. Fill it or remove the line."
                    )
                found[language].append(cell)
    if not found[wanted[0]]:
        raise ValueError(f"{name}: is empty. Give sentences.")
    return found


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []
