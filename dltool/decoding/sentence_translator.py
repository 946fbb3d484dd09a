"""From sentences to their translations: in tokens, in batches of like length, by beam search, and back to text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.data.tokenizers._sentencepiece import SPACE
from dltool.data.vocabularies import BEGIN, END, PADDING, UNKNOWN, Vocabularies
from dltool.decoding.beam_search import BeamSearch

LONGER = 2  # tokens of a translation for each of its source, at most, where no limit is given
MORE = 10  # and so many besides
WIDTH = 8  # sentences are padded to a multiple of it, so that few widths occur


@dataclass(frozen=True)
class Translation:
    """A translation of a sentence.

    Args:
        text: as it is read.
        score: log-probability over the length penalty.
        log_probability: sum over the tokens, the end included, of ln p.
        source, target: pieces, where attention is asked for; the end reads "</s>".
        attention: weights of source pieces at each target piece, float32 (target, source), or None.
    """

    text: str
    score: float = 0.0
    log_probability: float = 0.0
    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    attention: np.ndarray | None = None


class SentenceTranslator:
    """Translates sentences with a model and the vocabularies that it was trained in.

    Args:
        model: with `encode` and `step`.
        vocabularies: of the model.
        longest_source: tokens of a sentence; what is longer is cut.
        beam_size: hypotheses kept; 1 is greedy search.
        length_penalty: exponent of `BeamSearch`.
        best: translations of each sentence, up to `beam_size`.
        max_length: tokens of a translation, the end included. Defaults to twice those of its source and ten more.
        batch_size: sentences that are searched together. No translation depends on it.
        replace_unknown: whether an unknown token reads as the source piece that gets most attention (Luong et al.,
            2015, arXiv:1410.8206).
        attention: whether translations come with attention and pieces.
    Raises:
        ValueError: an argument is out of its range, or attention is needed of a model without.
    """

    def __init__(
        self,
        model: Any,
        vocabularies: Vocabularies,
        *,
        longest_source: int = 256,
        beam_size: int = 5,
        length_penalty: float = 1.0,
        best: int = 1,
        max_length: int | None = None,
        batch_size: int = 128,
        replace_unknown: bool = False,
        attention: bool = False,
    ) -> None:
        if not 1 <= best <= beam_size:
            raise ValueError(f"{best} translations of each sentence need a beam of as many at least. Got {beam_size}.")
        if (replace_unknown or attention) and not model.has_attention:
            raise ValueError("the model has no attention, which would show where a piece comes from")
        self.vocabularies, self.longest_source = vocabularies, longest_source
        self.best, self.max_length, self.batch_size = best, max_length, batch_size
        self.replace_unknown, self.attention = replace_unknown, attention
        self.search = BeamSearch(model, beam_size, length_penalty, replace_unknown or attention)

    def __call__(
        self, sentences: Sequence[str], language: str | None = None
    ) -> tuple[list[list[Translation]], list[int]]:
        """Translations of each sentence, best first, and which sentences were too long and were cut.

        A sentence without tokens, such as an empty one, has one empty translation. Equal sentences are searched once.

        Args:
            language: to translate into, of a model of several; None: it has one only.
        """
        encoded, cut = self.vocabularies.encoded_sources(sentences, language, self.longest_source)
        first = 0 if language is None else 1  # the token of the language is none of the sentence
        numbers_of: dict[str, list[int]] = {}
        for number, tokens in enumerate(encoded):
            if len(tokens) > first + 1:
                numbers_of.setdefault(sentences[number], []).append(number)
        told = sorted((numbers[0] for numbers in numbers_of.values()), key=lambda number: len(encoded[number]))
        found = [[Translation("")] for _ in sentences]
        for start in range(0, len(told), self.batch_size):
            numbers = told[start : start + self.batch_size]
            batch = [encoded[number] for number in numbers]
            for number, translations in zip(numbers, self._translated(batch), strict=True):
                if self.replace_unknown or self.attention:
                    found[number] = [
                        self._attended(one, sentences[number], encoded[number], first) for one in translations
                    ]
                else:
                    texts = self.vocabularies.target.decode([tokens for tokens, *_ in translations])
                    found[number] = [
                        Translation(text, score, total)
                        for text, (_, score, total, _) in zip(texts, translations, strict=True)
                    ]
        for number, *equal in numbers_of.values():
            for other in equal:
                found[other] = found[number]
        return found, cut

    def _translated(self, batch: Sequence[Sequence[int]]) -> list[list[tuple[list[int], float, float, Any]]]:
        """Return the best translations of each sentence of tokens: tokens, score, log-probability, attention."""
        lengths = np.array([len(tokens) for tokens in batch])
        source = np.full((len(batch), -(-lengths.max() // WIDTH) * WIDTH), PADDING, np.int32)
        for row, tokens in enumerate(batch):
            source[row, : len(tokens)] = tokens
        limits = LONGER * lengths + MORE if self.max_length is None else np.full(len(batch), self.max_length)
        found = self.search(source, limits.astype(np.int32))
        tokens, scores, totals = found.tokens.numpy(), found.scores.numpy(), found.log_probabilities.numpy()
        weights = None if found.attention is None else found.attention.numpy()
        translations: list[list[tuple[list[int], float, float, Any]]] = []
        for row in range(len(batch)):
            translations.append([])
            for rank in range(self.best):
                length = int((tokens[row, rank] != PADDING).sum())
                if rank and not length:
                    break  # fewer translations than asked for: the vocabulary has no more
                attention = None if weights is None else weights[row, rank, :length, : lengths[row]]
                best = tokens[row, rank, :length].tolist()
                translations[-1].append((best, float(scores[row, rank]), float(totals[row, rank]), attention))
        return translations

    def _attended(
        self, found: tuple[list[int], float, float, Any], sentence: str, encoded: Sequence[int], first: int
    ) -> Translation:
        tokens, score, total, attention = found
        end = len(encoded) - 1  # neither the language nor the end is copied
        source = self.vocabularies.source.pieces(encoded)
        source[first:end] = self.vocabularies.source.surfaces(sentence)[: end - first]
        target = self.vocabularies.target.pieces(tokens)
        text = self.vocabularies.target.decode([tokens])[0]
        if self.replace_unknown and UNKNOWN in tokens:
            for place, token in enumerate(tokens):
                if token == UNKNOWN:
                    target[place] = source[first + int(attention[place, first:end].argmax())]
            said = [piece for piece, token in zip(target, tokens, strict=True) if token not in (BEGIN, END)]
            text = "".join(said).replace(SPACE, " ").strip()
        return Translation(text, score, total, source, target, attention)
