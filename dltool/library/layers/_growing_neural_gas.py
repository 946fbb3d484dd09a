"""Growing neural gas: centres that follow samples, joined by edges, one more at a time where the error is largest."""

from __future__ import annotations

import numpy as np

# Fritzke, 1995, A growing neural gas network learns topologies, section 3, in the paper's letters.
EPSILON_B, EPSILON_N = 0.05, 0.006  # how far the nearest centre and its neighbours move towards a sample
LAMBDA = 100  # samples from one insertion to the next
MOST_AGE = 50  # a_max, of an edge
ALPHA, D = 0.5, 0.995  # decay of errors: where a unit is inserted, and at each sample
SETTLING = 1000  # samples a unit after the last insertion, at a falling rate; not of the paper


def grow(samples: np.ndarray, units: int, rng: np.random.Generator) -> np.ndarray:
    """Return `units` > 1 centres of samples (count, features), float64 (units, features).

    The paper's algorithm until there are `units` centres. Then only the nearest centre moves, at a rate that falls
    to 0. The paper leaves that out, but centres pulled along by their neighbours for ever have a quantisation error
    some 20 percent above k-means.

    Reference: Fritzke, 1995, A growing neural gas network learns topologies, NIPS 7; lecture slide 32.
    """
    gas = _Gas(samples[rng.choice(len(samples), 2, replace=False)].astype(np.float64))
    seen = 0
    while len(gas.centers) < units:
        gas.follow(samples[rng.integers(len(samples))], EPSILON_B, EPSILON_N)
        gas.remove_lonely()
        seen += 1
        if seen % LAMBDA == 0:
            gas.insert()
    rest = SETTLING * units
    for index, chosen in enumerate(rng.integers(len(samples), size=rest)):
        gas.follow(samples[chosen], (1 - index / rest) * EPSILON_B)
    return gas.centers


class _Gas:
    """Centres (units, features), their errors (units,) and the ages of edges (units, units), -1 where there is none."""

    def __init__(self, centers: np.ndarray) -> None:
        self.centers = centers
        self.errors = np.zeros(len(centers))
        self.ages = np.full((len(centers), len(centers)), -1)

    def follow(self, sample: np.ndarray, rate: float, rate_of_neighbours: float = 0.0) -> None:
        """Move the centre nearest to a sample, and its neighbours, by these fractions of the way."""
        differences = sample - self.centers
        distances = np.einsum("uf,uf->u", differences, differences)
        first, second = np.argpartition(distances, 1)[:2]
        if distances[second] < distances[first]:
            first, second = second, first
        neighbours = np.flatnonzero(self.ages[first] >= 0)
        self.ages[first, neighbours] += 1
        self.ages[neighbours, first] += 1
        self.errors[first] += distances[first]
        self.centers[first] += rate * differences[first]
        self.centers[neighbours] += rate_of_neighbours * differences[neighbours]
        self.ages[first, second] = self.ages[second, first] = 0
        self.ages[self.ages > MOST_AGE] = -1
        self.errors *= D

    def remove_lonely(self) -> None:
        """Remove units that have no edge left."""
        joined = (self.ages >= 0).any(axis=1)
        if not joined.all():
            self.centers, self.errors = self.centers[joined], self.errors[joined]
            self.ages = self.ages[np.ix_(joined, joined)]

    def insert(self) -> None:
        """Insert a unit half-way between that of the largest error and its neighbour of the largest error."""
        worst = int(self.errors.argmax())
        neighbours = np.flatnonzero(self.ages[worst] >= 0)
        other = int(neighbours[self.errors[neighbours].argmax()])
        self.errors[[worst, other]] *= ALPHA
        self.centers = np.vstack([self.centers, (self.centers[worst] + self.centers[other]) / 2])
        self.errors = np.append(self.errors, self.errors[worst])
        self.ages = np.pad(self.ages, (0, 1), constant_values=-1)
        self.ages[worst, other] = self.ages[other, worst] = -1
        for joined in (worst, other):
            self.ages[joined, -1] = self.ages[-1, joined] = 0
