"""Critical points of a net's loss, found by Newton's method from points along a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.errors import UsageError, messages
from dltool.landscape.net import Net
from dltool.landscape.verdict import Verdict, judge
from dltool.output.tables import Rows

STEPS = 60  # of Newton, each with a Hessian
TRIALS = 15  # dampings that a step tries
PATIENCE, STUCK = 10, 0.7  # a search ends if so many steps leave more than this share of the gradient's norm
CHECKS = 120  # of the gradient's norm along a training
SAME = 1e-6  # relative difference of the losses of points that count as one


@dataclass
class Search:
    """The end of a search for a critical point.

    Args:
        step: training steps before the start. noise: standard deviation of what was added to its weights.
        newton_steps: of the search.
        loss: at its end. start_norm: of the gradient at its start.
        verdict: of its end; "not critical" if the search did not get there.
        eigenvalues: all, ascending.
    """

    step: int
    noise: float
    newton_steps: int
    loss: float
    start_norm: float
    verdict: Verdict
    eigenvalues: np.ndarray

    @property
    def is_critical(self) -> bool:
        return self.verdict.kind != "not critical"


def parse_noise(text: str) -> list[float]:
    """Return '0,0.1' as numbers.

    Raises:
        UsageError: it is no list of finite numbers of at least 0.
    """
    try:
        levels = [float(part) for part in text.split(",")]
        if not all(0 <= level < float("inf") for level in levels):
            raise ValueError
    except ValueError:
        raise UsageError(f"--noise '{text}': write standard deviations of at least 0, such as 0,0.1,1") from None
    return levels


def search_from(
    net: Net, weights: np.ndarray, gradient_tolerance: float, zero_tolerance: float, most: int = STEPS
) -> tuple[np.ndarray, int, float, float, Verdict, np.ndarray]:
    """Go from weights to a critical point of any kind near by.

    Newton's step -H^-1 g goes to minima, maxima and saddles alike. It is damped so that the gradient's norm falls at
    each step (Levenberg and Marquardt on |g|^2 / 2, whose Jacobian is H): in the eigenvectors of H the step is
    -lambda c / (lambda^2 + mu^2), c the gradient there; mu rises until |g| falls, and then shrinks towards 0.

    Returns:
        weights, steps made, loss, norm of the gradient at the start, verdict, eigenvalues.
    Limits: it ends without a critical point where |g| has a minimum that is not 0 (H g = 0), or after `most` steps.
    Reference: Dauphin et al., 2014 (Newton finds saddles); Frye et al., 2021, Neural Computation 33 (minima of |g|);
        lecture slide 81.
    """
    loss, gradient = net.value_and_gradient(weights)
    start_norm = norm = float(np.linalg.norm(gradient))
    norms = [norm]
    damping, step = None, 0
    while True:
        eigenvalues, vectors = np.linalg.eigh(net.hessian(weights))
        largest = float(np.abs(eigenvalues).max())
        damping = 1e-3 * largest if damping is None else damping
        better = None
        is_stuck = step >= PATIENCE and norm > STUCK * norms[-PATIENCE]
        if norm > gradient_tolerance * 1e-2 and step < most and not is_stuck:  # two digits more than asked for
            slopes = vectors.T @ gradient
            for _ in range(TRIALS):
                move = -vectors @ (eigenvalues * slopes / (eigenvalues**2 + damping**2 + 1e-300))
                value, new = net.value_and_gradient(weights + move)
                if np.linalg.norm(new) < norm:
                    better = weights + move, value, new
                    break
                damping *= 4
        if better is None:
            verdict = judge(norm, eigenvalues, gradient_tolerance, zero_tolerance)
            return weights, step, loss, start_norm, verdict, eigenvalues
        weights, loss, gradient = better
        ratio = float(np.linalg.norm(gradient)) / norm
        norm *= ratio
        norms.append(norm)
        damping = max(damping / (10 if ratio < 0.5 else 3 if ratio < 0.9 else 1.5), 1e-12 * largest)
        step += 1


def find_plateaus(net: Net, start: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return (steps made, weights) where a training is slowest, for it passes near saddles there, and its end.

    These are the local minima of the gradient's norm at `CHECKS` moments of the recipe's training, their steps in equal
    ratios.

    Args:
        start: the weights before the first step.
    Reference: Saxe et al., 2014 (plateaus of training are saddles).
    """
    from dltool.data.pipelines.repeated import Repeated
    from dltool.training.procedures.gradient_descent import training_step

    prepared = net.prepared
    last = prepared.steps * prepared.epochs
    net.objective.weights = start
    step = training_step(prepared.model, prepared.augment, prepared.class_weight, False)
    batches, done = Repeated(prepared.train, prepared.seed), 0
    passed, norms = [(0, start)], [np.inf]
    for stop in np.unique(np.geomspace(1, last, CHECKS).astype(int)):
        messages.status(f"training: step {stop:,} of {last:,} ...")
        while done < stop:
            made, loss = batches.advance(step, done, int(stop) - done)
            if not np.isfinite(loss):
                raise UsageError(f"{net.source}: training diverges at step {done:,}. Lower the learning rate.")
            done += made
        weights = net.objective.weights
        passed.append((done, weights))
        norms.append(float(np.linalg.norm(net.value_and_gradient(weights)[1])))
    norms.append(np.inf)
    return [one for n, one in enumerate(passed) if 0 < n and norms[n] < min(norms[n - 1], norms[n + 1])]


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
        _, *figures = search_from(net, start + level * rng.normal(size=net.size), gradient_tolerance, zero_tolerance)
        found.append(Search(step, level, *figures))
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
        **{f"{name}s" if name != "degenerate" else name: kinds.count(name) for name in ("minimum", "saddle", "degenerate")},
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
