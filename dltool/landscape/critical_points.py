"""Critical points of a net's loss, found by Newton's method from the ends of trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dltool.errors import messages
from dltool.landscape.net import Net
from dltool.landscape.verdict import Verdict, judge
from dltool.output.tables import Rows

STEPS, RADIUS = 60, 1.0  # of Newton: most of them, each with a Hessian, and the length of the longest
SAME = 1e-6  # relative difference of the losses of points that count as one


@dataclass
class Search:
    """The end of a search for a critical point.

    Args:
        newton_steps: made.
        loss: at the end. start_norm: of the gradient at the start.
        verdict: of the end; "not critical" if the search did not get there.
        eigenvalues: all at the end, ascending.
        weights: at the end.
        step: training steps before the start. noise: standard deviation of what was added to the weights before.
        silenced: hidden units of each layer without weights.
    """

    newton_steps: int
    loss: float
    start_norm: float
    verdict: Verdict
    eigenvalues: np.ndarray
    weights: np.ndarray
    step: int = 0
    noise: float = 0.0
    silenced: int = 0

    @property
    def is_critical(self) -> bool:
        return self.verdict.kind != "not critical"


def search_from(
    net: Net, weights: np.ndarray, gradient_tolerance: float, zero_tolerance: float, most: int = STEPS
) -> Search:
    """Go from weights to a critical point of any kind by Newton's steps of limited length.

    Newton's step -H^-1 g climbs along eigenvectors of negative curvature and descends along the others, so it goes to
    minima, maxima and saddles alike. In the eigenvectors of H, with c the gradient there, the step is
    -c / (lambda + sign(lambda) mu); the smallest mu >= 0 is taken that keeps it within `RADIUS`.

    Limits: it may wander for `most` steps without a critical point.
    Reference: Dauphin et al., 2014 (Newton finds saddles); lecture slide 81.
    """
    loss, gradient = net.value_and_gradient(weights)
    start_norm, step = float(np.linalg.norm(gradient)), 0
    while True:
        eigenvalues, vectors = np.linalg.eigh(net.hessian(weights))
        norm = float(np.linalg.norm(gradient))
        if norm <= 1e-2 * gradient_tolerance or step >= most:  # two digits more than asked for
            verdict = judge(norm, eigenvalues, gradient_tolerance, zero_tolerance)
            return Search(step, loss, start_norm, verdict, eigenvalues, weights)
        weights = weights + vectors @ limit_step(vectors.T @ gradient, eigenvalues, RADIUS)
        loss, gradient = net.value_and_gradient(weights)
        step += 1


def limit_step(slopes: np.ndarray, eigenvalues: np.ndarray, radius: float) -> np.ndarray:
    """Return -slopes / (eigenvalues + sign(eigenvalues) mu) with the smallest mu >= 0 that keeps it within a radius."""

    def step(mu: float) -> np.ndarray:
        return -np.sign(eigenvalues) * slopes / np.maximum(np.abs(eigenvalues) + mu, 1e-300)

    low, high = 0.0, float(np.linalg.norm(slopes)) / radius
    if np.linalg.norm(step(low)) <= radius:
        return step(low)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if np.linalg.norm(step(middle)) <= radius else (middle, high)
    return step(high)


def find_layers(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Return the places of (kernel into hidden units, kernel out of them) among the shapes of dense weights."""
    kernels = [place for place, shape in enumerate(shapes) if len(shape) == 2]
    return [(one, other) for one, other in pairwise(kernels) if shapes[one][1] == shapes[other][0]]


def silence_units(weights: np.ndarray, shapes: Sequence[tuple[int, ...]], count: int) -> np.ndarray:
    """Return weights with the first `count` units of every dense hidden layer cut off: in and out, all are 0.

    If the activation is 0 at 0, such as tanh, these units get no gradient. Training stays among the nets without them
    and ends near their minimum, which is a saddle of the whole net.

    Args:
        shapes: of the trainable weights, in order.
    """
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = [part.reshape(shape).copy() for part, shape in zip(np.split(weights, ends[:-1]), shapes, strict=True)]
    for into, out in find_layers(shapes):
        for place in range(into, out):  # the kernel, and the bias if it has one
            parts[place][..., :count] = 0
        parts[out][:count] = 0
    return np.concatenate([part.ravel() for part in parts])


def search(
    net: Net,
    count: int,
    noise: Sequence[float],
    *,
    is_trained: bool,
    gradient_tolerance: float,
    zero_tolerance: float,
    seed: int,
) -> list[Search]:
    """Search from `count` starts, each the end of a training from jittered weights with some units silenced.

    0 units are silenced first, then 1 and so on to all of a hidden layer, then 0 again. The levels of noise alternate.

    Args:
        noise: standard deviations of the normal numbers that are added to the weights before training.
        is_trained: whether the source is a run: then nothing is trained and no unit silenced.
    """
    shapes = [tuple(variable.shape) for variable in net.objective.variables]
    units = min((shapes[into][1] for into, _ in find_layers(shapes)), default=0)
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        messages.status(f"search {number + 1} of {count} ...")
        level, silenced, steps = noise[number % len(noise)], 0, 0
        start = net.start + level * rng.normal(size=net.size)
        if not is_trained:
            silenced = number % (units + 1)
            steps, start = net.train(silence_units(start, shapes, silenced))
        found.append(search_from(net, start, gradient_tolerance, zero_tolerance))
        found[-1].step, found[-1].noise, found[-1].silenced = steps, level, silenced
    return found


def find_distinct(searches: Sequence[Search]) -> list[Search]:
    """Return the critical points of different losses; permuted or mirrored units make copies of one loss."""
    kept: list[Search] = []
    for one in searches:
        if one.is_critical and all(abs(one.loss - other.loss) > SAME * abs(other.loss) for other in kept):
            kept.append(one)
    return kept


def report(searches: Sequence[Search]) -> dict[str, Rows]:
    """Return the tables: one row a search, and the rank correlation of index and loss over distinct points."""
    distinct = find_distinct(searches)
    rows: list[dict[str, Any]] = []
    for number, one in enumerate(searches, 1):
        start = {"number": number, "noise": one.noise, "silenced": one.silenced, "training_steps": one.step}
        start["start_norm"] = one.start_norm
        end = {"newton_steps": one.newton_steps, "loss": one.loss, "is_distinct": any(one is each for each in distinct)}
        rows.append({**start, **end, **one.verdict.row()})
    kinds = [one.verdict.kind for one in distinct]
    summary = {
        "searches": len(searches),
        "critical": sum(one.is_critical for one in searches),
        "distinct": len(distinct),
        "minima": kinds.count("minimum"),
        "saddles": kinds.count("saddle"),
        "degenerate": kinds.count("degenerate"),
        "rank_correlation": correlate(distinct),
    }
    return {"critical points": Rows.of(rows), "correlation": Rows.of([summary])}


def correlate(distinct: Sequence[Search]) -> float | None:
    """Return Spearman's rank correlation of alpha and loss; None for fewer than three points or equal values.

    Reference: Dauphin et al., 2014, figure 1; lecture slide 64.
    """
    from scipy.stats import spearmanr

    alphas, losses = [one.verdict.alpha for one in distinct], [one.loss for one in distinct]
    if len(distinct) < 3 or len(set(alphas)) == 1 or len(set(losses)) == 1:
        return None
    return float(spearmanr(alphas, losses).statistic)
