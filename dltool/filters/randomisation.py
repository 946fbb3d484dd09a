"""The random-weights check: does a map change when the model's weights do?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from scipy import stats

from dltool.filters.methods import explainer

THRESHOLD = 0.5  # of both similarities; see `randomisation`
UPPER, ALL = "upper half", "all"


def randomisation(
    model: Any,
    images: Any,
    targets: Any,
    methods: Sequence[str],
    *,
    cascading: bool = False,
    draws: int = 3,
    threshold: float = THRESHOLD,
    seed: int = 0,
    batch_size: int = 32,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Compare maps of a model with those of the same model with redrawn weights.

    Weights are drawn by the layers' own initializers, batch statistics start afresh, and layers adapted to the data
    (`Normalization`) stay. A method whose maps hardly change does not show what the model has learned. Each method is
    tested twice: with the upper half of the layers random, which alone knew the classes, and with all of them. It
        passes
    if both similarities of the maps' absolute values, averaged over images and draws, stay below the threshold:
    Spearman's rank correlation, and SSIM. The paper draws no line; 0.5 means that the untrained net shows less than a
    quarter (0.5^2) of the variance of the ranks too.

    Args:
        model: as in `attribution.attribute`; it is not changed.
        images, targets: as in `attribution.attribute`.
        methods: names of attribution methods.
        cascading: also the steps on the way, from the logits down, one layer more each.
        draws: of random weights, int > 0.
        threshold: of both similarities.
        seed: of the weights.
        options: method -> its options.
    Returns:
        Rows of method, randomised ("upper half", "all", or for steps of a cascade the lowest layer that is random),
        layers (how many are random), spearman, ssim, threshold and verdict ("pass" or "fail"; None for the steps of a
        cascade). `verdicts` gives one per method.
    Raises:
        ValueError: as `attribute`; `draws` is not positive, or there is no image.
    Limits: a pass is no proof of faithfulness. A fail may come from the images: if one bright object draws any
        net's attention, or a method multiplies by the pixels and the background is the baseline (integrated gradients
        and occlusion on MNIST), maps stay alike whatever the weights.
    Reference: Adebayo et al., 2018, Sanity checks for saliency maps, sections 3.1 and 4.
    """
    if draws < 1 or len(images) == 0:
        raise ValueError(f"The random-weights check needs images and draws > 0. Got {len(images)} and {draws}.")
    trained = {method: explainer(model, method, **(options or {}).get(method, {})) for method in methods}
    before = {method: np.abs(explain(images, targets, batch_size)) for method, explain in trained.items()}
    twin = _fresh(model, seed)
    again = {method: explainer(twin, method, **(options or {}).get(method, {})) for method in methods}
    figures: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for draw in range(draws):
        twin.set_weights(model.get_weights())
        for name, count in _randomise(twin, seed + draw, cascading):
            for method, explain in again.items():
                after = np.abs(explain(images, targets, batch_size))
                pair = rank_correlation(before[method], after), structural_similarity(before[method], after)
                figures.setdefault((method, name, count), []).append((pair[0].mean(), pair[1].mean()))
    rows = []
    for (method, name, count), pairs in sorted(figures.items(), key=lambda one: list(methods).index(one[0][0])):
        spearman, ssim = np.mean(pairs, axis=0)
        verdict = ("pass" if max(spearman, ssim) < threshold else "fail") if name in (UPPER, ALL) else None
        rows.append({"method": method, "randomised": name, "layers": count, "spearman": float(spearman),
                     "ssim": float(ssim), "threshold": threshold, "verdict": verdict})  # fmt: skip
    return rows


def verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Method -> "pass" or "fail": it passes if all its rows that have a verdict do."""
    found: dict[str, str] = {}
    for row in rows:
        if row["verdict"] is not None and found.get(row["method"]) != "fail":
            found[row["method"]] = row["verdict"]
    return found


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation (n,) of two stacks of maps (n, rows, columns); 0 where a map is constant."""
    a, b = (stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.zeros(len(a)), where=scale > 0)


def structural_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM (n,) of two stacks of maps (n, rows, columns), not negative, each scaled to a maximum of 1.

    Gaussian window of 11 pixels, or of as many as a smaller map has, sigma 1.5, inside the maps only; K1 = 0.01,
    K2 = 0.03.
    Reference: Wang, Bovik, Sheikh & Simoncelli, 2004, Image quality assessment, section III.
    """
    import tensorflow as tf

    tops = [np.maximum(maps.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny) for maps in (first, second)]
    a, b = ((maps / top).astype(np.float32)[..., None] for maps, top in zip((first, second), tops, strict=True))
    return tf.image.ssim(a, b, 1.0, filter_size=min(11, *first.shape[1:])).numpy()


def _randomise(model: Any, seed: int, cascading: bool) -> Iterator[tuple[str, int]]:
    """Redraw a model's weights from the output down. Stop halfway, at the end and, if cascading, after each layer."""
    pairs = zip(_layers(model), _layers(_fresh(model, seed)), strict=True)
    drawn = [(old, new) for old, new in pairs if old.weights and not hasattr(old, "adapt")]
    for count, (old, new) in enumerate(reversed(drawn), start=1):
        old.set_weights(new.get_weights())
        if count == len(drawn):
            yield ALL, count
        elif count == len(drawn) // 2:
            yield UPPER, count
        elif cascading:
            yield old.name, count


def _fresh(model: Any, seed: int) -> Any:
    """Return the same model with redrawn weights, without moving Python's random numbers."""
    state = random.getstate()
    random.seed(seed)  # initializers without a seed draw theirs from here
    try:
        return keras.models.clone_model(model)
    finally:
        random.setstate(state)


def _layers(model: Any) -> list[Any]:
    """Return the layers that are no models, in the models' order."""
    found = []
    for layer in model.layers:
        found.extend(_layers(layer) if hasattr(layer, "layers") else [layer])
    return found
