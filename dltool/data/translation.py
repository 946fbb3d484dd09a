"""The common base of datasets of translations: directions, splits by sentence, vocabularies, pairs of tokens."""

from __future__ import annotations

import copy
import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data import arguments, vocabularies
from dltool.data.base import PARTS, Batching, TokenDataset
from dltool.data.bpe_dropout import DrawnPairs, DrawnSentences, Segmenter
from dltool.data.splits import TEST_SPLIT
from dltool.data.token_pairs import Pairs, Ragged, batch_edges
from dltool.data.tokenizers import base
from dltool.data.vocabularies import BEGIN, END, Vocabularies, Vocabulary

if TYPE_CHECKING:
    from dltool.data.pipelines.base import Pipeline

DEFAULT_PIECES = 8000
SENTENCEPIECE = {"characters": "char", "words": "word"}  # its own words, which runs keep
OLD_WORDS = {"char": "characters", "word": "words"}  # in recipes of before


class TranslationDataset(TokenDataset):
    """Sentences in several languages, line by line translations of each other.

    A part's examples are all its lines in the first direction, then all in the second, and so on. If the directions
    have more than one target language, a source sentence begins with a token of the target language. The vocabularies
    are those of the training part.

    Args:
        directions: what to learn: "en-de" is from English to German.
        zero_shot: directions that are never trained, only evaluated.
        tokens: "characters", "words", or subword pieces learned by "bpe" or "unigram".
        vocabulary_size: tokens of a vocabulary. Defaults to 8,000 pieces, or all words or characters.
        shared_vocabulary: whether source and target have one vocabulary together.
        max_length: tokens; longer sentences are cut.
        bpe_dropout: p, in [0, 1): the probability of skipping a merge as training sentences are cut into pieces,
            redrawn each epoch.
    Reference: several directions in one model: Johnson et al., 2017, TACL 5, 339-351; lecture slide 141.
    """

    task = "translation"

    def __init__(
        self,
        directions: Sequence[str],
        zero_shot: Sequence[str] = (),
        tokens: str = "bpe",
        vocabulary_size: int | None = None,
        shared_vocabulary: bool = True,
        max_length: int = 256,
        bpe_dropout: float = 0.0,
    ):
        name = type(self).__name__
        self.directions = arguments.names(name, "directions", directions)
        self.zero_shot = arguments.names(name, "zero_shot", zero_shot)
        if not self.directions:
            raise arguments.wrong(name, "directions", "a list such as [en-de]", directions)
        for direction in (*self.directions, *self.zero_shot):
            if len(set(direction.split("-"))) != 2 or not all(direction.split("-")) or direction.count("-") != 1:
                raise arguments.wrong(name, "directions", "a list of two languages each, such as en-de", direction)
        self._check_zero_shot(name)
        written = arguments.word(name, "tokens", tokens, base.TOKENS, OLD_WORDS)
        self.tokens = SENTENCEPIECE.get(written, written)
        if vocabulary_size is not None:
            vocabulary_size = arguments.integer(name, "vocabulary_size", vocabulary_size, END + 2)
        elif self.tokens in ("bpe", "unigram"):
            vocabulary_size = DEFAULT_PIECES
        self.vocabulary_size = vocabulary_size
        self.shared_vocabulary = arguments.boolean(name, "shared_vocabulary", shared_vocabulary)
        self.max_length = arguments.integer(name, "max_length", max_length, 2)
        self.bpe_dropout = arguments.fraction(name, "bpe_dropout", bpe_dropout)
        if self.bpe_dropout and self.tokens != "bpe":
            raise ValueError(f"{name}: 'bpe_dropout' needs 'tokens: bpe'. Got 'tokens: {self.tokens}'.")
        self._cuts: dict[str, np.ndarray] | None = None
        self._given: Vocabularies | None = None

    @property
    @abstractmethod
    def source(self) -> str:
        """The origin of the sentences, for messages."""

    @abstractmethod
    def stored(self) -> list[str]:
        """Return the parts that exist before the training part is divided."""

    @abstractmethod
    def load(self, part: str) -> dict[str, list[str]]:
        """Language -> lines of a stored part, as many of each."""

    # -- parts -----------------------------------------------------------------------------------------

    def divided(
        self, validation_split: float = 0.0, test_split: float | None = None, seed: int = 0
    ) -> TranslationDataset:
        """Return the dataset with these fractions of the lines as parts, no source sentence in two.

        Lines that have a source sentence of any direction in common stay together, so that a fraction is met only
        nearly; a group larger than what is to be held out stays in training.
        """
        if self._cuts is not None:
            return self
        name, stored = type(self).__name__, self.stored()
        for word, part, share in (
            ("test_split", "test", test_split),
            ("validation_split", "validation", validation_split),
        ):
            if share and part in stored:
                raise ValueError(f"{name} stores a {part} part of its own: remove '{word}'.")
        validation = arguments.fraction("split", "validation_split", validation_split)
        test = TEST_SPLIT if test_split is None else arguments.fraction("split", "test_split", test_split)
        test = 0.0 if "test" in stored else test
        if not validation and not test:
            return self
        group = self._groups()
        order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
        sizes, taken = np.bincount(group), {}
        left = len(group)
        for part, share in (("test", test), ("validation", validation)):
            wanted, found = math.ceil(share * left), []
            for number in order:
                if not wanted:
                    break
                if 0 < sizes[number] <= wanted:
                    found.append(number)
                    wanted -= sizes[number]
                    sizes[number] = 0
            taken[part] = np.flatnonzero(np.isin(group, found))
            left -= len(taken[part])
            if share and not len(taken[part]):
                raise ValueError(f"'{part}_split' of {share} holds out no sentence of {self.source}: raise it.")
        if not left:
            raise ValueError(f"The splits leave no sentence of {self.source} to train on: make them smaller.")
        held = np.concatenate(list(taken.values()))
        taken["train"] = np.setdiff1d(np.arange(len(group)), held)
        return self._with(_cuts={part: lines for part, lines in taken.items() if len(lines)})

    def with_vocabulary(self, vocabulary: Vocabularies) -> TranslationDataset:
        """Return the sentences in existing vocabularies."""
        return self._with(_given=vocabulary)

    def sizes(self) -> dict[str, int]:
        return {part: self.line_count(part) * len(self.directions) for part in self.parts}

    @property
    def parts(self) -> list[str]:
        found = {*self.stored(), *(self._cuts or ())}
        return [part for part in PARTS if part in found]

    def line_count(self, part: str) -> int:
        return len(next(iter(self.lines(part).values())))

    def lines(self, part: str) -> dict[str, list[str]]:
        """Language -> sentences of a part, as many of each."""
        arguments.stored(type(self).__name__, part, self.parts)
        if part not in self._lines:
            if self._cuts is not None and part in self._cuts:
                whole, chosen = self._loaded("train"), self._cuts[part]
                self._lines[part] = {language: [lines[i] for i in chosen] for language, lines in whole.items()}
            else:
                self._lines[part] = self._loaded(part)
        return self._lines[part]

    # -- tokens ----------------------------------------------------------------------------------------

    @cached_property
    def vocabulary(self) -> Vocabularies:
        """The vocabularies of the training part, or the given ones."""
        if self._given is not None:
            return self._given
        lines = self.lines("train")
        sources, targets = self._languages(0), self._languages(1)
        told = self.target_languages if len(self.target_languages) > 1 else []
        try:
            if self.shared_vocabulary:
                spoken = [lines[language] for language in dict.fromkeys([*sources, *targets])]
                shared = Vocabulary.learn(chain(*spoken), self.tokens, self.vocabulary_size, told)
                return Vocabularies(shared, shared)
            source, target = (chain(*(lines[language] for language in side)) for side in (sources, targets))
            return Vocabularies(
                Vocabulary.learn(source, self.tokens, self.vocabulary_size, told),
                Vocabulary.learn(target, self.tokens, self.vocabulary_size),
            )
        except ValueError as error:
            raise ValueError(f"{self.source}: {error}") from error

    def pairs(self, part: str, direction: str) -> Pairs:
        """Return the pairs of a part in one direction, trained or zero-shot."""
        source, target = direction.split("-")
        lines = self.lines(part)
        sources, _ = self.vocabulary.encoded_sources(lines[source], self.told(target), self.max_length)
        targets = self.vocabulary.target.encode(lines[target])
        room = self.max_length - 1
        return Pairs(Ragged.of(sources), Ragged.of([[BEGIN, *tokens[:room], END] for tokens in targets]))

    def read(self, part: str) -> Pairs:  # type: ignore[override]
        """Return the pairs of a part in all directions."""
        if part not in self._pairs:
            found = [self.pairs(part, direction) for direction in self.directions]
            self._pairs[part] = Pairs(
                Ragged.joined([one.source for one in found]), Ragged.joined([one.target for one in found])
            )
        return self._pairs[part]

    def drawn(self, part: str) -> DrawnPairs | None:
        """Return the pairs of a part in pieces that are redrawn each epoch; None without `bpe_dropout`."""
        if not self.bpe_dropout:
            return None
        lines, sides = self.lines(part), []
        source_pieces, target_pieces = (
            Segmenter(vocabulary, self.bpe_dropout, seed)
            for seed, vocabulary in enumerate((self.vocabulary.source, self.vocabulary.target))
        )
        for direction in self.directions:
            source, target = direction.split("-")
            told = self.told(target)
            begin = [] if told is None else [self.vocabulary.source.language(told)]
            sources = self.vocabulary.source.words(lines[source])
            targets = self.vocabulary.target.words(lines[target])
            sides.append(
                (
                    DrawnSentences(source_pieces, sources, begin, [END], self.max_length),
                    DrawnSentences(target_pieces, targets, [BEGIN], [END], self.max_length + 1),
                )
            )
        return DrawnPairs(sides, self.read(part))

    def pipeline(self, part: str, indices: np.ndarray | None, batching: Batching) -> Pipeline:
        drawn = self.drawn(part) if batching.training else None
        if drawn is not None:
            from dltool.data.pipelines.bucketed import Redrawn

            return Redrawn(drawn, batching.size)
        return _bucketed(part, self.read(part), batching)

    def pipeline_of_direction(self, part: str, direction: str, batching: Batching) -> Pipeline:
        """Return the batches of a part in one direction, such as en-de."""
        return _bucketed(f"{part} {direction}", self.pairs(part, direction), batching)

    def problem_of_batch_tokens(self) -> str | None:
        if not self.bpe_dropout:
            return None
        return "needs sentences of the same length each epoch, which 'bpe_dropout' changes. Use batch_size."

    def batches_by_tokens(self, part: str, batch_tokens: int) -> int:
        lengths = self.read(part).target.lengths
        return len(batch_edges(lengths[lengths.argsort()[::-1]] - 1, batch_tokens)) - 1

    @property
    def redrawn_by(self) -> str | None:
        return "bpe_dropout" if self.bpe_dropout else None

    def unseen(self, part: str, indices: np.ndarray | None = None) -> str | None:
        pairs = self.read(part)
        tokens = np.concatenate([pairs.source.tokens, pairs.target.tokens])
        unknown = int((tokens == vocabularies.UNKNOWN).sum())
        if not unknown:
            return None
        return f"{self.source}: {unknown:,} of {len(tokens):,} tokens are not in the run's vocabulary, read as unknown"

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "directions": self.directions,
            "zero_shot": self.zero_shot,
            "tokens": self.tokens,
            "max_length": self.max_length,
            "source_vocabulary_size": self.vocabulary.source.size,
            "target_vocabulary_size": self.vocabulary.target.size,
            "text_sha256": self._digest(),
        }
        for part in self.parts:
            pairs = self.read(part)
            facts[f"{part}_source_tokens"] = len(pairs.source.tokens)
            facts[f"{part}_target_tokens"] = len(pairs.target.tokens) - len(
                pairs
            )  # as predicted: the end, no beginning
        return facts

    def labels(self, part: str) -> np.ndarray:
        raise ValueError(f"{type(self).__name__}: sentences have no labels")

    @property
    def target_languages(self) -> list[str]:
        """The languages to translate into, zero-shot ones too."""
        return list(dict.fromkeys(d.split("-")[1] for d in (*self.directions, *self.zero_shot)))

    def told(self, language: str) -> str | None:
        """Return the target language as a sentence has to name it; None if it is the only one."""
        return language if len(self.target_languages) > 1 else None

    @property
    def languages(self) -> list[str]:
        """All languages, in order of appearance."""
        return list(dict.fromkeys(chain(*(d.split("-") for d in (*self.directions, *self.zero_shot)))))

    # -- helpers ---------------------------------------------------------------------------------------

    def _languages(self, side: int) -> list[str]:
        return list(dict.fromkeys(direction.split("-")[side] for direction in self.directions))

    def _check_zero_shot(self, name: str) -> None:
        for direction in self.zero_shot:
            source, target = direction.split("-")
            if direction in self.directions:
                raise ValueError(f"{name}: '{direction}' is in both 'directions' and 'zero_shot': choose one.")
            if source not in self._languages(0) or target not in self._languages(1):
                raise ValueError(
                    f"{name}: zero_shot '{direction}' reads or writes a language that 'directions' never does."
                )

    def _loaded(self, part: str) -> dict[str, list[str]]:
        if part not in self._stored_lines:
            self._stored_lines[part] = self.load(part)
        return self._stored_lines[part]

    @cached_property
    def _stored_lines(self) -> dict[str, dict[str, list[str]]]:
        return {}

    @cached_property
    def _lines(self) -> dict[str, dict[str, list[str]]]:
        return {}

    @cached_property
    def _pairs(self) -> dict[str, Pairs]:
        return {}

    def _groups(self) -> np.ndarray:
        """Return the group of each training line, int (lines,); a group stays together."""
        lines = self._loaded("train")
        leader = list(range(len(next(iter(lines.values())))))  # of each line one before it in its group, or itself

        def first(line: int) -> int:
            while leader[line] != line:
                leader[line] = line = leader[leader[line]]
            return line

        for language in dict.fromkeys(d.split("-")[0] for d in (*self.directions, *self.zero_shot)):
            seen: dict[str, int] = {}
            for line, text in enumerate(lines[language]):
                one, other = first(line), first(seen.setdefault(" ".join(text.split()), line))
                leader[max(one, other)] = min(one, other)
        return np.unique([first(line) for line in range(len(leader))], return_inverse=True)[1]

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts:
            for lines in self.lines(part).values():
                digest.update("\n".join(lines).encode())
        return digest.hexdigest()

    def _with(self, **attributes: Any) -> TranslationDataset:
        twin = copy.copy(self)
        for name in ("vocabulary", "_pairs", "_lines"):  # what was computed of other parts or vocabularies
            vars(twin).pop(name, None)
        vars(twin).update(attributes)
        return twin


def _bucketed(key: str, pairs: Pairs, batching: Batching) -> Pipeline:
    from dltool.data.pipelines.bucketed import Bucketed, DevicePairs

    if key not in batching.shared:
        batching.shared[key] = DevicePairs(pairs)
    return Bucketed(batching.shared[key], None, batching.size, batching.tokens if batching.training else None)
