"""How near translations come to those of people, by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FIGURES = ("bleu", "chrf", "exact_match")
WORDS = 5  # of source sentences a bin of lengths is wide
LAST = 30  # words; longer sentences share a bin


def scores(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF of a corpus, from 0 to 100, and the share of sentences that are right to the letter.

    Args:
        translations, references: as many sentences, raw and cased.
    Reference: sacrebleu's defaults (Post, 2018, arXiv:1804.08771): BLEU (Papineni et al., 2002) of tokens by 13a with
        exponential smoothing; chrF2 (Popovic, 2015).
    """
    bleu, chrf = _metrics()
    right = sum(one == other for one, other in zip(translations, references, strict=True))
    return {
        "bleu": float(bleu.corpus_score(translations, [references]).score),
        "chrf": float(chrf.corpus_score(translations, [references]).score),
        "exact_match": right / max(len(references), 1),
    }


def signatures() -> dict[str, str]:
    """Return how sacrebleu computes `scores`, in its own notation."""
    found = {}
    for name, metric in zip(("bleu", "chrf"), _metrics(), strict=True):
        metric.corpus_score(["a"], [["a"]])  # the number of references is known after it
        found[name] = str(metric.get_signature())
    return found


def by_length(sources: Sequence[str], translations: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """`scores` of sentences whose sources have 1 to 5 words, 6 to 10, and so on; a row a length that occurs."""
    bins: dict[int, list[int]] = {}
    for number, source in enumerate(sources):
        words = len(source.split())
        bins.setdefault(min(max(words - 1, 0) // WORDS, LAST // WORDS), []).append(number)
    rows = []
    for place, numbers in sorted(bins.items()):
        low = place * WORDS + 1
        name = f"{low} or more" if place == LAST // WORDS else f"{low} to {low + WORDS - 1}"
        found = scores([translations[i] for i in numbers], [references[i] for i in numbers])
        rows.append({"source_words": name, "sentences": len(numbers), **found})
    return rows


def _metrics() -> tuple[Any, Any]:
    from sacrebleu.metrics import BLEU, CHRF

    return BLEU(), CHRF()
