"""Sentences in subword pieces that are redrawn each time they are read (BPE-dropout)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dltool.data.token_pairs import Pairs, Ragged
from dltool.data.vocabularies import UNKNOWN, Vocabulary

DRAWN = 16  # segmentations of each distinct word: the frequent ones, which need most, are short and have few more


class Segmenter:
    """Words in pieces, as byte pair encoding merges them, each merge skipped with a probability.

    In each round, every pair of neighbours that is a piece of the vocabulary is skipped with probability `rate`. Among
    the others, the pair with the highest score is merged (the leftmost of equals), until no pair remains.

    Args:
        vocabulary: of kind "bpe".
        rate: p, in [0, 1). With 0 the pieces are those of `vocabulary.encode`.
        seed: of the draws.
    Reference: Provilkov et al., 2020, BPE-dropout, arXiv:1910.13267, algorithm 1.
    """

    def __init__(self, vocabulary: Vocabulary, rate: float, seed: int) -> None:
        self._pieces, self.rate = vocabulary.merges(), rate
        self._random = random.Random(seed).random  # sentencepiece's own draws differ from process to process

    def tokens(self, word: str) -> list[int]:
        """Return the tokens of a word in sentencepiece's spelling, U+2581 at its beginning."""
        pieces, rate, draw, parts = self._pieces, self.rate, self._random, list(word)
        while True:
            best, place = -np.inf, -1
            for i in range(len(parts) - 1):
                found = pieces.get(parts[i] + parts[i + 1])
                if found is not None and found[1] > best and not (rate and draw() < rate):
                    best, place = found[1], i
            if place < 0:
                return list(_without_repeats(pieces.get(part, (UNKNOWN, 0.0))[0] for part in parts))
            parts[place : place + 2] = [parts[place] + parts[place + 1]]


class DrawnSentences:
    """Sentences whose words are in pieces, redrawn at each call of `draw`.

    Args:
        segmenter: gives the pieces of a word.
        sentences: the words of each sentence in sentencepiece's spelling.
        begin, end: tokens around each sentence.
        longest: tokens of a sentence with `begin` and `end`; longer ones lose their last words.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        sentences: Sequence[Sequence[str]],
        begin: Sequence[int],
        end: Sequence[int],
        longest: int,
    ) -> None:
        numbers: dict[str, int] = {}
        words = [[numbers.setdefault(word, len(numbers)) for word in sentence] for sentence in sentences]
        rows = [segmenter.tokens(word) for word in numbers for _ in range(DRAWN)]
        edge = len(numbers)  # what stands around a sentence is a word of which all segmentations are the same
        self._rows = Ragged.of([*rows, *([begin] * DRAWN), *([end] * DRAWN)])
        self._words = Ragged.of([[edge, *sentence, edge + 1] for sentence in words])
        self._end, self._longest = len(end), longest

    def draw(self, rng: np.random.Generator) -> Ragged:
        """Return the tokens of all sentences, with one uniformly drawn segmentation per word."""
        chosen = self._words.tokens.astype(np.int64) * DRAWN + rng.integers(DRAWN, size=len(self._words.tokens))
        counts = self._rows.lengths[chosen]
        tokens = self._rows.tokens[_runs(self._rows.offsets[chosen], counts)]
        lengths = np.add.reduceat(counts, self._words.offsets[:-1])
        place = _runs(np.zeros(len(lengths), np.int64), lengths)
        left = np.repeat(lengths, lengths) - place  # tokens from here to the end of the sentence
        kept = (place < self._longest - self._end) | (left <= self._end)
        offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, self._longest))])
        return Ragged(tokens[kept], offsets)


class DrawnPairs:
    """Sentences and their translations in pieces, redrawn at each call of `draw`.

    Args:
        sides: of each direction the sentences and their translations.
        plain: the same pairs without draws.
    """

    def __init__(self, sides: Sequence[tuple[DrawnSentences, DrawnSentences]], plain: Pairs) -> None:
        self._sides, self.plain = list(sides), plain

    def draw(self, rng: np.random.Generator) -> Pairs:
        """Return the pairs, in the order of `plain`."""
        drawn = [(source.draw(rng), target.draw(rng)) for source, target in self._sides]
        return Pairs(Ragged.joined([one for one, _ in drawn]), Ragged.joined([one for _, one in drawn]))


def _runs(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return start, start + 1, ... of each run, one run after another, int64 (sum of lengths,)."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def _without_repeats(tokens: Iterable[int]) -> Iterator[int]:
    """Unknown characters side by side are one unknown token, as sentencepiece has it."""
    before = None
    for token in tokens:
        if token != UNKNOWN or before != UNKNOWN:
            yield token
        before = token
