"""Each character a token."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from dltool.data.tokenizers.base import REPLACEMENT, UNKNOWN, Tokenizer

FILE = "characters.json"


class Characters(Tokenizer):
    """Characters (Unicode code points): token 1 + i is the i-th of the vocabulary.

    Args:
        characters: the vocabulary, distinct and sorted.
    Limits: a letter with a combining accent is two characters.
    Reference: lecture slide 138 (char-RNN).
    """

    kind = "characters"

    def __init__(self, characters: str) -> None:
        super().__init__([REPLACEMENT, *(character.encode() for character in characters)])
        self.characters = characters
        self._points = _code_points(characters)

    @classmethod
    def fit(cls, text: str) -> Characters:
        """Return a tokenizer of the characters of a text."""
        return cls("".join(sorted(set(text))))

    @classmethod
    def length(cls, text: str) -> int:
        return len(text)

    def encode(self, text: str) -> np.ndarray:
        points = _code_points(text)
        places = np.searchsorted(self._points, points).clip(max=max(len(self._points) - 1, 0))
        known = self._points[places] == points if len(self._points) else np.zeros(len(points), bool)
        return np.where(known, places + 1, UNKNOWN).astype(np.int32)

    def unknown(self, text: str) -> list[str]:
        return [character for character in dict.fromkeys(text) if character not in self.characters]

    def files(self) -> dict[str, bytes]:
        return {FILE: json.dumps(self.characters).encode() + b"\n"}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Characters:
        characters = json.loads(files[FILE])
        if not isinstance(characters, str) or sorted(set(characters)) != list(characters):
            raise ValueError(f"{FILE} holds no sorted characters")
        return cls(characters)


def _code_points(text: str) -> np.ndarray:
    # lone surrogates stand for bytes of the command line that are no UTF-8: they are unknown, not an error
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
