"""The common base of datasets of running text: split in order, tokenised, windows of tokens as examples."""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import PARTS, Batching, Examples, TokenDataset
from dltool.data.tokenizers import base
from dltool.data.tokenizers.base import Tokenizer

if TYPE_CHECKING:
    from dltool.data.pipelines.base import Pipeline

TEST_SPLIT = 0.1  # share of a text that is held out at its end
PIECES = ("unigram", "bpe")  # words of `tokens` that mean pieces, by how they are learned
OLD_WORDS = {"pieces": "pieces", "char": "characters", "word": "words"}


class TextDataset(TokenDataset):
    """A text of which each token is to be predicted from those before it.

    Examples are windows one after another: x int32 (windows, sequence_length), y the same a token later. As stored
    the text is one part, "train"; `divided` cuts it in order. The vocabulary is that of the training part.

    Args:
        tokens: "characters", "words", or subword pieces of sentencepiece learned by "bpe" or "unigram".
        sequence_length: tokens a window, over which gradients flow back (truncated backpropagation through time).
        vocabulary_size: tokens, the unknown one included: of words the most frequent; required for pieces.
        model_type: with the older word "pieces" in `tokens`: "unigram" or "bpe". Defaults to "unigram".
    """

    task = "language"
    is_continuous = True

    def __init__(
        self,
        tokens: str = "characters",
        sequence_length: int = 128,
        vocabulary_size: int | None = None,
        model_type: str | None = None,
    ):
        name = type(self).__name__
        written = arguments.word(name, "tokens", tokens, base.TOKENS, OLD_WORDS)
        self.tokens = "pieces" if written in PIECES else written
        self.sequence_length = arguments.integer(name, "sequence_length", sequence_length, 1)
        if vocabulary_size is not None:
            vocabulary_size = arguments.integer(name, "vocabulary_size", vocabulary_size, 2)
        if model_type is not None:
            arguments.choice(name, "model_type", model_type, PIECES)
        if written in PIECES:
            if model_type not in (None, written):
                raise ValueError(f"{name}: 'tokens: {written}' and 'model_type: {model_type}' differ: remove one.")
            model_type = written
        self._options = self._checked(written, {"vocabulary_size": vocabulary_size, "model_type": model_type})
        self._cuts: dict[str, slice] | None = None
        self._given: Tokenizer | None = None

    @property
    @abstractmethod
    def source(self) -> str:
        """The origin of the text, for messages."""

    @abstractmethod
    def load(self) -> str:
        """Return the whole text."""

    def divided(self, validation_split: float = 0.0, test_split: float | None = None, seed: int = 0) -> TextDataset:
        """Return the text with its last characters as "test" and those before them as "validation"; once only."""
        if self._cuts is not None:
            return self
        validation_split = arguments.fraction("split", "validation_split", validation_split)
        test_split = TEST_SPLIT if test_split is None else arguments.fraction("split", "test_split", test_split)
        size = len(self._text)
        test = math.ceil(test_split * size)
        validation = math.ceil(validation_split * (size - test))
        train = size - test - validation
        cuts = {"train": slice(0, train), "validation": slice(train, size - test), "test": slice(size - test, size)}
        return self._with(_cuts={part: cut for part, cut in cuts.items() if cut.stop > cut.start or part == "train"})

    def with_vocabulary(self, vocabulary: Tokenizer) -> TextDataset:
        """Return the text in the tokens of an existing vocabulary.

        Raises:
            ValueError: it is of another kind of tokens.
        """
        if vocabulary.kind != self.tokens:
            raise ValueError(f"{self.source}: is to be read in {self.tokens}, the vocabulary is of {vocabulary.kind}.")
        return self._with(_given=vocabulary)

    @cached_property
    def vocabulary(self) -> Tokenizer:
        """That of the training part, or the one given."""
        if self._given is not None:
            return self._given
        return base.find(self.tokens).fit(self._part("train"), **self._options)

    def encoded(self, part: str) -> np.ndarray:
        """Return the tokens of a part, int32 (tokens,)."""
        arguments.stored(type(self).__name__, part, self._parts)
        if part not in self._encoded:
            self._encoded[part] = self.vocabulary.encode(self._part(part))
        return self._encoded[part]

    def unseen(self, part: str, indices: np.ndarray | None = None) -> str | None:
        tokens = self.encoded(part)
        unknown = int((tokens == base.UNKNOWN).sum())
        if not unknown:
            return None
        words = self.vocabulary.unknown(self._part(part))
        listed = ", ".join(map(repr, words[:3])) + (", ..." if len(words) > 3 else "")
        return (
            f"{self.source}: {unknown:,} of {len(tokens):,} {self.tokens} are not in the run's vocabulary, read as "
            f"unknown{f' ({listed})' if words else ''}"
        )

    def sizes(self) -> dict[str, int]:
        return {part: (self._length(part) - 1) // self.sequence_length for part in self._parts}

    def facts(self) -> dict[str, Any]:
        size = self.vocabulary.size
        facts: dict[str, Any] = {
            "input_shape": (None,),  # of any length, so that a model also reads token by token
            "input_dtype": "int32",
            "sequence_length": self.sequence_length,
            "tokens": self.tokens,
            "vocabulary_size": size,
            "num_classes": size,
            "text_sha256": hashlib.sha256(self._text.encode()).hexdigest(),
        }
        for part in self._parts:
            facts |= {f"{part}_tokens": self._length(part), f"{part}_characters": len(self._part(part))}
        return facts

    def text(self, part: str) -> str:
        """Return the text of a part."""
        return self._part(part)

    def labels(self, part: str) -> np.ndarray:
        return self.read(part).y

    def read(self, part: str) -> Examples:
        tokens, windows = self.encoded(part), self.sizes()[part]
        size = windows * self.sequence_length
        shape = (windows, self.sequence_length)
        return Examples(tokens[:size].reshape(shape), tokens[1 : size + 1].reshape(shape))

    def pipeline(self, part: str, indices: np.ndarray | None, batching: Batching) -> Pipeline:
        from dltool.data.pipelines.windows import Rows, Windows, on_device

        if part not in batching.shared:
            batching.shared[part] = on_device(self.encoded(part))
        kind = Windows if batching.rows is None else Rows
        try:
            return kind(batching.shared[part], self.sequence_length, batching.size, batching.training)
        except ValueError as error:
            raise ValueError(f"{self.source}: the {part} split has {error}") from error

    @property
    def _parts(self) -> list[str]:
        return [part for part in PARTS if part in self._cuts] if self._cuts is not None else ["train"]

    def _part(self, part: str) -> str:
        return self._text if self._cuts is None else self._text[self._cuts[part]]

    def _length(self, part: str) -> int:
        """Return the number of tokens of a part, at least one window and the token after it."""
        # counted without a vocabulary where that can be: it is what a learning-rate schedule waits for
        known = base.find(self.tokens).length(self._part(part))
        length = len(self.encoded(part)) if known is None else known
        if length <= self.sequence_length:
            where = f"{self.source}: the {part} part has" if self._cuts is not None else f"{self.source}: has"
            least = self.sequence_length + 1
            raise ValueError(
                f"{where} {length} {self.tokens}, fewer than the {least} of one window and the next. "
                "Lower 'sequence_length', give more text, or change the splits."
            )
        return length

    @cached_property
    def _text(self) -> str:
        text = self.load()
        if not text:
            raise ValueError(f"{self.source}: is empty. Give a text.")
        return text

    @cached_property
    def _encoded(self) -> dict[str, np.ndarray]:
        return {}

    def _with(self, **attributes: Any) -> TextDataset:
        twin = copy.copy(self)
        for name in ("vocabulary", "_encoded"):  # what was computed of other parts or with another vocabulary
            vars(twin).pop(name, None)
        vars(twin).update(attributes)
        return twin

    def _checked(self, written: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the given options if the tokenizer takes all of them and needs no others."""
        name, given = type(self).__name__, {key: value for key, value in options.items() if value is not None}
        taken = dict(list(inspect.signature(base.find(self.tokens).fit).parameters.items())[1:])
        for key in given:
            if key not in taken:
                raise ValueError(f"{name}: '{key}' has no meaning for tokens '{written}': remove it.")
        for key, parameter in taken.items():
            if parameter.default is parameter.empty and key not in given:
                raise ValueError(f"{name}: tokens '{written}' need '{key}', such as 1000.")
        return given
