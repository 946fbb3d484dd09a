"""Several models of translations that decode as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class Ensemble:
    """Models whose probabilities of each next token are averaged:

        p(y | ...) = 1/M sum over m of p_m(y | ...)

    Args:
        models: at least one, with `encode` and `step`, of the same vocabularies.
    Limits: attention is the mean over the models that have any.
    Reference: Sutskever et al., 2014, arXiv:1409.3215, section 3.6.
    """

    def __init__(self, models: Sequence[Any]) -> None:
        self.models = list(models)
        self.target_size = self.models[0].target_size
        self.has_attention = any(model.has_attention for model in self.models)

    def encode(self, source: Any) -> dict[str, Any]:
        """Return what each model computes once from source sentences (batch, source)."""
        encoded = [model.encode(source) for model in self.models]
        rest = tuple({name: part for name, part in one.items() if name != "state"} for one in encoded)
        return {"rest": rest, "state": tuple(one["state"] for one in encoded)}

    def step(self, tokens: Any, state: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Log-probabilities (batch, vocabulary), attention (batch, source) or None, and the next state."""
        logs, weights, after = [], [], []
        for model, rest, own in zip(self.models, state["rest"], state["state"], strict=True):
            logits, attention, now = model.step(tokens, {**rest, "state": own})
            logs.append(tf.nn.log_softmax(logits))
            after.append(now["state"])
            if attention is not None:
                weights.append(tf.cast(attention, tf.float32))
        mean = tf.reduce_logsumexp(tf.stack(logs), axis=0) - math.log(len(logs))
        attention = tf.add_n(weights) / len(weights) if weights else None
        return mean, attention, {**state, "state": tuple(after)}
