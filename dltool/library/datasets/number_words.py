"""Numbers in words, from one language into another: the translation dataset that needs no file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dltool.data import arguments
from dltool.data.translation import TranslationDataset
from dltool.errors import suggest_or_list


class NumberWords(TranslationDataset):
    """Whole numbers as words of real languages: "one hundred and twenty-three" and "cent vingt-trois".

    Numbers are drawn without repetition; numbers for validation and test never occur in training.

    Args:
        directions: what to learn, such as [en-fr]; languages as the library num2words names them.
        zero_shot: directions that are never trained, only evaluated. Defaults to none.
        largest: the largest number, int > 0; the smallest is 0. Defaults to 999,999.
        examples: numbers to train on, int > 0. Defaults to 10,000.
        held_out: [first, last] of a range whose numbers occur in the test only. Defaults to none: they are drawn from
            everywhere.
        held_out_examples: numbers for validation, and as many for the test, int > 0. Defaults to 1,000.
        tokens: "words", "characters", "bpe" or "unigram". Defaults to "words".
        vocabulary_size: tokens of a vocabulary. Defaults to 8,000 pieces, or all words or characters.
        shared_vocabulary: whether source and target have one vocabulary together. Defaults to true.
        bpe_dropout: p, in [0, 1): the probability of skipping a merge as training sentences are cut into pieces,
            redrawn each epoch. Defaults to 0.
        seed: seed of the numbers, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range, a language is unknown to num2words or the numbers are too few.
    Limits: a toy: every sentence has exactly one right translation, so that whole sentences can be compared.
    Reference: num2words, https://github.com/savoirfairelinux/num2words; lecture slides 139-141.
    """

    def __init__(
        self,
        directions: Sequence[str] = ("en-fr",),
        zero_shot: Sequence[str] = (),
        largest: int = 999_999,
        examples: int = 10_000,
        held_out: Sequence[int] | None = None,
        held_out_examples: int = 1000,
        tokens: str = "words",
        vocabulary_size: int | None = None,
        shared_vocabulary: bool = True,
        bpe_dropout: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(directions, zero_shot, tokens, vocabulary_size, shared_vocabulary, bpe_dropout=bpe_dropout)
        self.largest = arguments.integer("NumberWords", "largest", largest, 1)
        self.examples = arguments.integer("NumberWords", "examples", examples, 1)
        self.held_out_examples = arguments.integer("NumberWords", "held_out_examples", held_out_examples, 1)
        self.seed = arguments.integer("NumberWords", "seed", seed, 0)
        self.held_out = self._range(held_out)
        outside = self.largest + 1 - (self.held_out[1] - self.held_out[0] + 1 if self.held_out else 0)
        needed = self.examples + self.held_out_examples * (1 if self.held_out else 2)
        if outside < needed:
            raise ValueError(
                f"NumberWords: {needed} numbers can't be drawn from {outside} outside 'held_out': raise 'largest'."
            )
        self._converters = {language: self._converter(language) for language in self.languages}

    @property
    def source(self) -> str:
        return "NumberWords"

    def stored(self) -> list[str]:
        return ["train", "validation", "test"]

    def sizes(self) -> dict[str, int]:
        return {part: len(self._numbers[part]) * len(self.directions) for part in self.stored()}

    def files(self) -> list[Path]:
        return []

    def load(self, part: str) -> dict[str, list[str]]:
        numbers = [int(number) for number in self._numbers[part]]
        return {
            language: [" ".join(convert.to_cardinal(number).split()) for number in numbers]
            for language, convert in self._converters.items()
        }

    @cached_property
    def _numbers(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        n, held = self.examples, self.held_out_examples
        if self.held_out is None:
            drawn = rng.choice(self.largest + 1, n + 2 * held, replace=False)
            return {"train": drawn[:n], "validation": drawn[n : n + held], "test": drawn[n + held :]}
        first, last = self.held_out
        inside = last - first + 1
        drawn = rng.choice(self.largest + 1 - inside, n + held, replace=False)
        drawn[drawn >= first] += inside  # the numbers above the range follow those below it
        test = first + rng.choice(inside, min(held, inside), replace=False)
        return {"train": drawn[:n], "validation": drawn[n:], "test": test}

    def _range(self, held_out: Sequence[int] | None) -> tuple[int, int] | None:
        if held_out is None:
            return None
        if isinstance(held_out, str) or not isinstance(held_out, Sequence) or len(held_out) != 2:
            raise arguments.wrong("NumberWords", "held_out", "a list [first, last]", held_out)
        first, last = (arguments.integer("NumberWords", "held_out", number, 0) for number in held_out)
        if not first <= last <= self.largest:
            raise arguments.wrong("NumberWords", "held_out", f"[first, last] up to {self.largest}", held_out)
        return first, last

    def _converter(self, language: str):  # type: ignore[no-untyped-def] # num2words has no types
        from num2words import CONVERTER_CLASSES

        if language not in CONVERTER_CLASSES:
            raise ValueError(
                f"NumberWords: num2words has no language '{language}'.{suggest_or_list(language, CONVERTER_CLASSES)}"
            )
        return CONVERTER_CLASSES[language]
