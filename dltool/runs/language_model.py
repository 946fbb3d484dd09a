"""A run of a language model, opened for writing and for scoring text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from dltool.data.tokenizers.base import UNKNOWN, Tokenizer
from dltool.errors import DataError, UsageError, one_line
from dltool.runs import directory, opened
from dltool.runs.opened import OpenedRun

FIRST, LARGEST = 16, 256  # tokens that are drawn before they are shown: few at first, then more for speed
NAMED = 10  # unknown tokens that a message names


class LanguageModel:
    """A finished run that was trained as a language model on a text.

    Args:
        run: the run.
        device: "auto", "cpu" or "gpu".
    Raises:
        DataError: it is not of a text.
    """

    def __init__(self, run: OpenedRun, device: str) -> None:
        self.run, self._device = run, device
        tokenizer = self.run.vocabulary
        if not isinstance(tokenizer, Tokenizer):
            known = "TextFile and PythonDocs are such data"
            raise DataError(f"{self.run}: was not trained as a language model on a text ({known})")
        self.tokenizer: Tokenizer = tokenizer

    @cached_property
    def model(self) -> Any:
        """The Keras model."""
        opened.configure([self.run], self._device)
        return self.run.model

    def encode_prompt(self, prompt: str) -> np.ndarray:
        """Return the tokens to begin with: the prompt's, or a line's end, after which a line begins.

        Raises:
            UsageError: the prompt has tokens that the run does not know.
        """
        if unknown := self.tokenizer.unknown(prompt):
            listed = ", ".join(map(repr, unknown[:NAMED])) + (", ..." if len(unknown) > NAMED else "")
            raise UsageError(f"--prompt: the run does not know the {self.tokenizer.kind} {listed}. Leave them out.")
        start = self.tokenizer.encode(prompt)
        if not len(start):
            start = self.tokenizer.encode("\n")
            if UNKNOWN in start:
                start = np.array([1], np.int32)
        return start

    def draw(
        self,
        start: np.ndarray,
        *,
        length: int,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        seed: int,
        samples: int,
    ) -> Iterator[np.ndarray]:
        """Yield tokens as they are drawn, int32 (samples, some) each time.

        Args:
            start: tokens to begin with.
            length: tokens a sample.
            temperature: 0 takes the likeliest token.
            top_k, top_p: None for all tokens.
            seed: equal seeds give equal texts.
            samples: texts, drawn side by side.
        """
        model = self.model
        from dltool.decoding.sampling import sampler
        from dltool.decoding.writer import Writer

        unused = range(self.tokenizer.size, model.output_shape[-1])  # outputs that stand for no token
        with self._token_by_token():
            writer = Writer(model, samples, sampler(temperature, top_k, top_p), seed, (UNKNOWN, *unused))
        writer.read(start)
        left, size = length, FIRST
        while left > 0:
            yield writer.write(min(size, left))
            left, size = left - size, min(2 * size, LARGEST)

    def score(self, text: str, name: str) -> dict[str, Any]:
        """Return how probable a text is: nats and bits a character, perplexity a token.

        The first token is given, so it does not count.

        Args:
            name: of the text, in the row and in errors.
        Raises:
            DataError: the text is too short.
        """
        tokens = self.tokenizer.encode(text)
        if len(tokens) < 2:
            needed = "at least 2 are needed: the first is given"
            raise DataError(f"{name}: has {len(tokens)} {self.tokenizer.kind}, {needed}")
        # given is what is whole in the first token: a character that it only begins counts, where it ends
        first = tokens[0] == UNKNOWN
        given = self.tokenizer.unknown(text)[0] if first else self.tokenizer.decoder().add(tokens[:1])
        characters = len(text) - len(given)
        if not characters:
            raise DataError(f"{name}: has no character after the first token, which is given")
        model = self.model
        from dltool.tasks import _scoring

        with self._token_by_token():
            nats = _scoring.nats(model, tokens)
        total = float(nats.sum(dtype="float64"))
        return {
            "run": str(self.run),
            "file": name,
            "characters": characters,
            "nats_per_character": total / characters,
            "bits_per_character": total / characters / math.log(2),
            "tokens": len(nats),
            "perplexity": math.exp(min(total / len(nats), 700)),
            "unknown": int((tokens[1:] == UNKNOWN).sum()),
        }

    @contextmanager
    def _token_by_token(self) -> Iterator[None]:
        """Report in one line why a model can't go through a text token by token."""
        try:
            yield
        except ValueError as error:
            model = self.run.directory / directory.MODEL
            raise UsageError(f"{model}: can't be run token by token: {one_line(error)}.") from error
