"""Each word, with the space before it, a token."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from dltool.data.tokenizers.base import REPLACEMENT, UNKNOWN, Tokenizer

FILE = "words.json"
# a word or a mark, with one space before it if there is one; else white space. Together they are the whole text.
TOKEN = re.compile(r" ?\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}]\w+)*| ?[^\w\s]|\s")


class Words(Tokenizer):
    """Words and punctuation marks, each with the space before it, and other white space by the character.

    So tokens put together are the text again: "to be,\\nor" is "to", " be", ",", "\\n", "or". Token 1 + i is the i-th
    word of the vocabulary.

    Args:
        words: the vocabulary, distinct.
    Limits: "The", " The" and " the" are three tokens that share nothing; words outside the vocabulary are one token,
        so that perplexities compare only between equal vocabularies.
    """

    kind = "words"

    def __init__(self, words: list[str]) -> None:
        super().__init__([REPLACEMENT, *(word.encode() for word in words)])
        self.words = words
        self._tokens = {word: token for token, word in enumerate(words, start=1)}

    @classmethod
    def fit(cls, text: str, vocabulary_size: int | None = None) -> Words:
        """Learn the words of a text, the most frequent first, and the earlier of equally frequent ones.

        Args:
            vocabulary_size: maximum number of tokens, the unknown one included. Defaults to all.
        """
        counts = Counter(_parts(text)).most_common(None if vocabulary_size is None else vocabulary_size - 1)
        return cls([word for word, _ in counts])

    @classmethod
    def length(cls, text: str) -> int:
        return len(TOKEN.findall(text))

    def encode(self, text: str) -> np.ndarray:
        tokens = self._tokens
        return np.fromiter((tokens.get(part, UNKNOWN) for part in _parts(text)), np.int32)

    def unknown(self, text: str) -> list[str]:
        return [part for part in dict.fromkeys(_parts(text)) if part not in self._tokens]

    def files(self) -> dict[str, bytes]:
        return {FILE: json.dumps(self.words, indent=0).encode() + b"\n"}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Words:
        words = json.loads(files[FILE])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{FILE} holds no list of words")
        return cls(words)


def _parts(text: str) -> Iterator[str]:
    return (match[0] for match in TOKEN.finditer(text))
