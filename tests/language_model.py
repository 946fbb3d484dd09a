"""A tiny language model for tests, and the same model in plain NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

RECIPE = """\
# A tiny LSTM that reads a text.
data:
  dataset: {TextFile: {path: text.txt, sequence_length: 16}}
  validation_split: 0.1
model:
  - Embedding: {input_dim: "${data.vocabulary_size}", output_dim: 6}
  - LSTM: {units: 12, return_sequences: true, stateful: true}
  - Dropout: 0.2
  - LSTM: {units: 10, return_sequences: true, stateful: true}
  - Dense: ${data.vocabulary_size}
compile:
  optimizer: {Adam: {learning_rate: 2e-2, clipnorm: 1.0}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy, {Perplexity: {from_logits: true}}, {BitsPerCharacter: {from_logits: true}}]
  steps_per_execution: 3
fit: {epochs: 3, batch_size: 4}
seed: 5
"""


def text() -> str:
    """Some 3,000 characters with a little sense."""
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "that", "rat", "ran", "at", "hat"]
    random = np.random.default_rng(0)
    return "".join(f"{' '.join(random.choice(words, 6))}.\n" for _ in range(160))


def write(folder: Path, recipe: str = RECIPE) -> Path:
    """The recipe beside its text; its path."""
    (folder / "text.txt").write_text(text())
    path = folder / "tiny.yaml"
    path.write_text(recipe.replace("path: text.txt", f"path: {folder / 'text.txt'}"))
    return path


class Twin:
    """The tiny model as its formulas say: i, f, o = sigmoid, g = tanh; c = f c + i g; h = o tanh(c).

    Args:
        model: the trained one, whose weights it takes.
    """

    def __init__(self, model: Any) -> None:
        self.embedding, *rest = (np.asarray(weight, np.float64) for weight in model.get_weights() if weight.ndim)
        rest = [weight for weight in rest if weight.dtype.kind == "f"]
        self.layers = [rest[0:3], rest[3:6]]
        self.kernel, self.bias = rest[6:8]
        self.reset()

    def reset(self) -> None:
        self.states = [(np.zeros(u.shape[0]), np.zeros(u.shape[0])) for _, u, _ in self.layers]

    def read(self, token: int) -> np.ndarray:
        """Logits of what follows a token, given all before."""
        x = self.embedding[token]
        for index, (w, u, b) in enumerate(self.layers):
            h, c = self.states[index]
            i, f, g, o = np.split(x @ w + h @ u + b, 4)  # in Keras's order
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            x = _sigmoid(o) * np.tanh(c)
            self.states[index] = (x, c)
        return x @ self.kernel + self.bias

    def nats(self, tokens: np.ndarray) -> np.ndarray:
        """-ln p of each token but the first, the state carried through."""
        self.reset()
        found = []
        for token, following in zip(tokens[:-1], tokens[1:], strict=True):
            logits = self.read(token)
            found.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[following])
        return np.array(found)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
