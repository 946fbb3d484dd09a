"""Subword pieces of sentencepiece."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dltool.data.tokenizers._sentencepiece import SPACE, learn, open_model
from dltool.data.tokenizers.base import REPLACEMENT, UNKNOWN, Tokenizer

FILE = "pieces.model"
THREADS = 4  # whatever the machine: sums of a fit depend on it in the last digits


class Pieces(Tokenizer):
    """Subword pieces learned from a text; characters that no piece covers are spelt in bytes.

    White space is kept and a line's end is a piece of its own, so that the joined pieces give the text.

    Args:
        model: sentencepiece's own model file.
    Limits: U+2581, which stands for the space inside sentencepiece, reads as a space.
    Reference: as `_sentencepiece.learn`.
    """

    kind = "pieces"

    def __init__(self, model: bytes) -> None:
        self.model = model
        try:
            self._processor = open_model(model)
        except ValueError as error:
            raise ValueError(f"{FILE} {error}") from error
        super().__init__(self._text_of(token) for token in range(self._processor.vocab_size()))

    @classmethod
    def fit(cls, text: str, vocabulary_size: int, model_type: str = "unigram") -> Pieces:
        """Learn pieces from a text.

        Args:
            vocabulary_size: pieces, of which 256 are the bytes, one the unknown and one the line's end.
            model_type: "unigram" or "bpe".
        Raises:
            ValueError: the text has fewer pieces, or more characters than that.
        """
        if model_type not in ("unigram", "bpe"):
            raise ValueError(f"The 'model_type' parameter must be one of 'unigram', 'bpe'. Got {model_type!r} instead.")
        model = learn(
            text.split("\n"),
            vocabulary_size,
            model_type,
            THREADS,
            "The text has",
            "The text's characters and the 256 bytes need",
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,
            user_defined_symbols=["\n"],
            byte_fallback=True,
            unk_id=UNKNOWN,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
        )
        return cls(model)

    def encode(self, text: str) -> np.ndarray:
        return np.array(self._processor.encode(text.encode("utf-8", "replace").decode()), np.int32)

    def unknown(self, text: str) -> list[str]:
        return []

    def files(self) -> dict[str, bytes]:
        return {FILE: self.model}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Pieces:
        return cls(files[FILE])

    def _text_of(self, token: int) -> bytes:
        piece = self._processor.id_to_piece(token)
        if self._processor.is_unknown(token):
            return REPLACEMENT
        if self._processor.is_byte(token):  # "<0xE9>"
            return bytes([int(piece[3:5], 16)])
        return piece.replace(SPACE, " ").encode()
