"""BPE-dropout: pieces by the paper's algorithm, the sentences unchanged, every epoch's draws reproducible."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

from dltool.data.bpe_dropout import DrawnSentences, Segmenter
from dltool.data.pipelines.bucketed import Redrawn
from dltool.data.vocabularies import BEGIN, END, UNKNOWN, Vocabulary
from dltool.library.datasets.number_words import NumberWords

DRAWS = 4000


class Merges:
    """A vocabulary of a few merges, the first learned first."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    def merges(self) -> dict[str, tuple[int, float]]:
        return {piece: (10 + i, -float(i)) for i, piece in enumerate(self.pieces)}


@cache
def numbers(bpe_dropout: float = 0.3, **arguments: Any) -> NumberWords:
    directions = ("en-fr", "fr-en", "en-es")
    drawn: dict[str, Any] = {"largest": 9999, "examples": 300, "held_out_examples": 20, "vocabulary_size": 120}
    return NumberWords(directions, tokens="bpe", bpe_dropout=bpe_dropout, **{**drawn, **arguments})


def shares(segmenter: Segmenter, word: str) -> dict[tuple[int, ...], float]:
    """How often a word comes in each segmentation."""
    counts = Counter(tuple(segmenter.tokens(word)) for _ in range(DRAWS))
    return {tokens: count / DRAWS for tokens, count in counts.items()}


def test_each_candidate_of_each_round_is_passed_over_with_the_rate() -> None:
    """Of "abc", where "ab" was learned before "bc": p^2 neither, p (1 - p) "bc" alone, 1 - p "ab", by hand."""
    p = 0.3
    found = shares(Segmenter(Merges("ab", "bc", "a", "b", "c"), p, 0), "abc")
    expected = {(10, 14): 1 - p, (12, 11): p * (1 - p), (12, 13, 14): p**2}
    assert found.keys() == expected.keys()
    for tokens, share in expected.items():
        assert found[tokens] == pytest.approx(share, abs=4 * (share * (1 - share) / DRAWS) ** 0.5)


def test_a_merge_passed_over_in_one_round_can_come_in_the_next() -> None:
    """Of "abcd" with "ab", "cd": split everywhere only if both are passed over at once, or the last one is later."""
    p = 0.5
    found = shares(Segmenter(Merges("ab", "cd", "a", "b", "c", "d"), p, 0), "abcd")
    both = (1 - p) * (1 - p) + p * (1 - p) * (1 - p)  # "ab" first, or "cd" because "ab" was passed over, then the other
    assert found[10, 11] == pytest.approx(both, abs=0.04)
    assert found[12, 13, 14, 15] == pytest.approx(p * p, abs=0.04)


def test_unknown_characters_side_by_side_are_one_token() -> None:
    assert Segmenter(Merges("a", "b"), 0.5, 0).tokens("axxb") == [10, UNKNOWN, 11]


@pytest.mark.parametrize(
    "sentence", ["two hundred and one", "  zwei   Leerzeichen", "\N{GREEK SMALL LETTER PI}r one", "a"]
)
def test_without_dropout_pieces_are_those_of_sentencepiece(sentence: str) -> None:
    vocabulary = numbers().vocabulary.source
    (words,) = vocabulary.words([sentence])
    segmenter = Segmenter(vocabulary, 0.0, 0)
    assert [token for word in words for token in segmenter.tokens(word)] == vocabulary.encode([sentence])[0]


def test_drawn_pairs_are_the_same_sentences_in_other_pieces() -> None:
    dataset = numbers()
    drawn, plain, vocabulary = dataset.drawn("train"), dataset.read("train"), dataset.vocabulary
    pairs = drawn.draw(np.random.default_rng(1))
    assert len(pairs) == len(plain) == 900
    for ours, theirs in ((pairs.source, plain.source), (pairs.target, plain.target)):
        assert len(ours.tokens) > 1.1 * len(theirs.tokens)
        decoded = [vocabulary.target.decode([one[i] for i in range(900)]) for one in (ours, theirs)]
        assert decoded[0] == decoded[1]
    languages = [int(plain.source[i][0]) for i in range(900)]
    assert [int(pairs.source[i][0]) for i in range(900)] == languages
    assert len(set(languages)) == 3
    assert {int(pairs.target[i][0]) for i in range(900)} == {BEGIN}
    assert {int(one[i][-1]) for one in (pairs.source, pairs.target) for i in range(900)} == {END}


def test_a_long_sentence_is_cut_before_its_end() -> None:
    vocabulary: Vocabulary = numbers().vocabulary.source
    words = vocabulary.words(["nine thousand nine hundred", "one"])
    plain = vocabulary.encode(["nine thousand nine hundred", "one"])
    drawn = DrawnSentences(Segmenter(vocabulary, 0.0, 0), words, [BEGIN], [END], 5).draw(np.random.default_rng(0))
    assert len(plain[0]) > 3
    assert [list(drawn[i]) for i in range(2)] == [[BEGIN, *plain[0][:3], END], [BEGIN, *plain[1], END][:5]]


def test_an_epochs_tokens_are_a_function_of_seed_and_epoch() -> None:
    def tokens(pipeline: Redrawn, *key: int) -> list[int]:
        (x, _), *_ = pipeline.batches(1, pipeline.order(*key))
        return x["source"].numpy().tolist()

    pipeline, again = (Redrawn(numbers().drawn("train"), 16) for _ in range(2))
    first = tokens(pipeline, 1, 0)
    assert tokens(pipeline, 1, 1) != first
    assert tokens(pipeline, 2, 0) != first
    assert tokens(pipeline, 1, 0) == tokens(again, 1, 0) == first


def test_what_is_evaluated_has_no_draws() -> None:
    assert numbers(0.0).drawn("train") is None
    for part in ("train", "test"):
        np.testing.assert_array_equal(numbers().read(part).source.tokens, numbers(0.0).read(part).source.tokens)
