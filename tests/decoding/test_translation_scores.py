"""Scores of translations, worked by hand."""

from __future__ import annotations

import pytest

from dltool.decoding.translation_scores import scores, signatures


def test_bleu_takes_capitals_for_other_words() -> None:
    """One of 6 words differs by a capital: precisions of 1- to 4-grams are 5/6, 4/5, 3/4 and 2/3, no brevity.

    BLEU = 100 (5/6 * 4/5 * 3/4 * 2/3)^(1/4) = 100 (1/3)^(1/4); lower-cased it would be 100.
    """
    found = scores(["the cat sat on the Mat"], ["the cat sat on the mat"])
    assert found["bleu"] == pytest.approx(100 * (1 / 3) ** 0.25, rel=1e-6)
    assert found["exact_match"] == 0
    assert found["chrf"] < 100
    assert "case:mixed" in signatures()["bleu"]


def test_bleu_of_short_translations_pays_for_brevity() -> None:
    """All n-grams of 5 words of a reference of 6 are right: BLEU = 100 exp(1 - 6/5)."""
    found = scores(["the cat sat on the"], ["the cat sat on the mat"])
    assert found["bleu"] == pytest.approx(100 * 2.718281828 ** (1 - 6 / 5), rel=1e-6)
