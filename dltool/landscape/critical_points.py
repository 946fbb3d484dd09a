"""Critical points of a net's loss, found by Newton's method from points along a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.errors import DivergedError, messages
from dltool.landscape.net import Net
from dltool.landscape.verdict import Verdict, judge
from dltool.output.tables import Rows

STEPS, RADIUS = 60, 1.0  # of Newton: most of them, each with a Hessian, and the length of the longest
SNAPSHOTS = 8  # points of a training: its start, and others up to its end, their steps in equal ratios
FIRST = 5  # steps before the second of them
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
        step: training steps before the start. noise: standard deviation of what was added to its weights.
    """

    newton_steps: int
    loss: float
    start_norm: float
    verdict: Verdict
    eigenvalues: np.ndarray
    weights: np.ndarray
    step: int = 0
    noise: float = 0.0

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


def take_snapshots(net: Net, is_trained: bool) -> list[tuple[int, np.ndarray]]:
    """Return (steps made, weights) along a training of the recipe from its start; of a run its weights alone."""
    from dltool.data.pipelines.repeated import Repeated
    from dltool.training.procedures.gradient_descent import training_step

    prepared, found = net.prepared, [(0, net.start)]
    last = prepared.steps * prepared.epochs
    if is_trained:
        return found
    net.objective.weights = net.start
    step = training_step(prepared.model, prepared.augment, prepared.class_weight, False)
    batches, done = Repeated(prepared.train, prepared.seed), 0
    for stop in np.unique(np.geomspace(min(FIRST, last), last, SNAPSHOTS - 1).astype(int)):
        messages.status(f"training: step {stop:,} of {last:,} ...")
        while done < stop:
            made, loss = batches.advance(step, done, int(stop) - done)
            if not np.isfinite(loss):
                raise DivergedError(f"{net.source}: training diverges at step {done:,}. Lower the learning rate.")
            done += made
        found.append((done, net.objective.weights))
    return found


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
    """Search from `count` starts: every snapshot of a training with every level of noise, then again.

    Args:
        noise: standard deviations of the normal numbers that are added to the weights.
        is_trained: whether the source is a run, whose own weights are the one snapshot.
    """
    snapshots = take_snapshots(net, is_trained)
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        step, start = snapshots[number % len(snapshots)]
        level = noise[number // len(snapshots) % len(noise)]
        messages.status(f"search {number + 1} of {count} ...")
        shifted = start + level * rng.normal(size=net.size)
        found.append(search_from(net, shifted, gradient_tolerance, zero_tolerance))
        found[-1].step, found[-1].noise = step, level
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
        start = {"number": number, "training_step": one.step, "noise": one.noise, "start_norm": one.start_norm}
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
