"""The base of all tokenizers, and the place where they are found."""

from __future__ import annotations

import codecs
import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

TOKENS = ("characters", "words", "bpe", "unigram")  # what a dataset's argument `tokens` says; the last two are pieces
UNKNOWN = 0  # the token of what is not in the vocabulary
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()  # how the unknown token reads


class Tokenizer(ABC):
    """Text as a sequence of tokens 0 .. size - 1, of which 0 is the unknown one.

    A subclass has a classmethod `fit(text, ...)` that makes the vocabulary of a text.

    Args:
        table: of each token the text that it stands for, as UTF-8; a token may be a part of a character.
    """

    kind: ClassVar[str]  # the name of its file

    def __init__(self, table: Iterable[bytes]) -> None:
        self.table = list(table)

    @property
    def size(self) -> int:
        """Tokens in the vocabulary, the unknown one included."""
        return len(self.table)

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Return the tokens of a text, int32 (tokens,)."""

    @abstractmethod
    def unknown(self, text: str) -> list[str]:
        """Return the parts of a text outside the vocabulary, in order of appearance, each once."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Return the content of each file by name; `load` makes the tokenizer from them."""

    @classmethod
    @abstractmethod
    def load(cls, files: Mapping[str, bytes]) -> Tokenizer:
        """Return the tokenizer that `files` described.

        Raises:
            ValueError, KeyError: the files are damaged.
        """

    @classmethod
    def length(cls, text: str) -> int | None:
        """Return the number of tokens of a text, None if it depends on the vocabulary."""
        return None

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens; invalid UTF-8 becomes U+FFFD."""
        return b"".join(self.table[int(token)] for token in tokens).decode("utf-8", "replace")

    def decoder(self) -> Decoder:
        """Return a decoder of tokens that come in parts."""
        return Decoder(self)


class Decoder:
    """Text of tokens as they come: a character whose bytes are not all there yet waits for the rest."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._table = tokenizer.table
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, tokens: Iterable[int], last: bool = False) -> str:
        """Return the text that further tokens complete; after the `last` ones nothing waits."""
        return self._decoder.decode(b"".join(self._table[int(token)] for token in tokens), last)


def kinds() -> list[str]:
    """Return the names of all tokenizers: one per file of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.stem != "base")


def find(kind: str) -> Any:
    """Return the class with a tokenizer's name."""
    return getattr(importlib.import_module(f"dltool.data.tokenizers.{kind}"), kind.capitalize())
