"""Translations by beam search: a batch and all its beams in one compiled loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from dltool.data.vocabularies import BEGIN, END, PADDING

NEVER = -1e30  # finite: a score that no hypothesis has


class Hypotheses(NamedTuple):
    """The best translations of each sentence, best first.

    Args:
        tokens: int32 (batch, beams, length), the end included where it was reached, padding 0 after it.
        log_probabilities: sum over the tokens of ln p, float32 (batch, beams); of places without a translation -1e30.
        scores: log-probabilities over the length penalty, by which they are ordered, float32 (batch, beams).
        attention: weights of the source positions at each token, float32 (batch, beams, length, source); None
            without attention.
    """

    tokens: Any
    log_probabilities: Any
    scores: Any
    attention: Any


class BeamSearch:
    """The beam search of a model with `encode` and `step`; a beam of 1 is greedy search.

    At each step the 2K best continuations of the K open hypotheses are looked at. Those among the first K that end the
    sentence are translations, at a sentence's last step all K as they stand; the K best of the others stay open. The
    best K translations are kept, ordered by

        score = log-probability / ((5 + length) / 6)^length_penalty,   length in tokens with the end.

    A sentence is done at its limit, or once K translations are found and no open hypothesis, were it to end where it
    stands, would score more than the best of them: K poor short ones do not keep a good longer one from its end.

    Args:
        model: with `encode` and `step`, such as `Seq2Seq` gives.
        beam_size: K, int > 0. Defaults to 5.
        length_penalty: exponent; 0 prefers short translations, larger values longer ones. Defaults to 1.0.
        attention: whether attention is kept. Defaults to True.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: not all sequences are looked at; a wider beam may find a more probable but worse translation.
    Reference: Sutskever et al., 2014, section 3.2; length penalty: Wu et al., 2016, arXiv:1609.08144, eq. 14.
    """

    def __init__(self, model: Any, beam_size: int = 5, length_penalty: float = 1.0, attention: bool = True) -> None:
        if not isinstance(beam_size, int) or beam_size < 1:
            raise ValueError(f"The 'beam_size' of BeamSearch must be an int > 0. Got {beam_size!r}.")
        if 2 * beam_size > model.target_size:
            raise ValueError(f"The 'beam_size' of BeamSearch must be at most half of {model.target_size} tokens.")
        self.model, self.beam_size, self.length_penalty = model, beam_size, float(length_penalty)
        self.keeps_attention = attention and model.has_attention
        signature = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
        self._compiled = tf.function(self._search, input_signature=signature, autograph=False)

    def __call__(self, source: Any, max_length: Any) -> Hypotheses:
        """The best `beam_size` translations of each sentence.

        Args:
            source: tokens, int32 (batch, source), padding 0 at the end.
            max_length: tokens of a translation, the end included, at least 1; of all sentences, or of each.
        """
        source = tf.convert_to_tensor(source, tf.int32)
        limits = tf.broadcast_to(tf.convert_to_tensor(max_length, tf.int32), tf.shape(source)[:1])
        tokens, sums, scores, attention = self._compiled(source, limits)
        return Hypotheses(tokens, sums, scores, attention if self.keeps_attention else None)

    # -- in the graph ----------------------------------------------------------------------------------------

    def _search(self, source: tf.Tensor, limits: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Shapes: B sentences, K beams, T the longest translation, S source positions."""
        beams, batch, longest = self.beam_size, tf.shape(source)[0], tf.reduce_max(limits)
        constants = dict(self.model.encode(source))  # of a sentence, not of a hypothesis
        first_state = tf.nest.map_structure(lambda one: tf.repeat(one, beams, axis=0), constants.pop("state"))
        width = tf.shape(source)[1] if self.keeps_attention else 1  # nothing can be written into rows of none
        first = tf.concat([tf.zeros([1]), tf.fill([beams - 1], NEVER)], 0)  # all beams begin alike: one may go on
        opened = _Kept(
            tf.zeros([batch, beams, longest], tf.int32),
            tf.tile(first[tf.newaxis], [batch, 1]),
            tf.zeros([batch, beams, longest, width]),
        )
        found = _Kept(opened.tokens, tf.fill([batch, beams], NEVER), opened.attention)
        scores = tf.fill([batch, beams], NEVER)
        open_sentences = _Open(tf.range(batch), limits, constants, opened, found, scores, tf.zeros([batch], tf.int32))

        def body(t: tf.Tensor, last: Any, state: Any, now: _Open, results: Any) -> tuple:
            batch = tf.size(now.numbers)  # of the sentences that are open still
            logits, weights, after = self.model.step(last, {**now.constants, "state": state})
            values, tokens, parents = self._candidates(logits, now.opened.sums)  # (B, 2K) each
            weights = tf.reshape(weights, [batch, beams, width]) if self.keeps_attention else None
            grown = now.opened.grown(parents, tokens, values, t, weights)

            due = t + 1 >= now.limits
            ended = tf.logical_and((tokens == END) | due[:, tf.newaxis], tf.range(2 * beams) < beams)
            final = tf.where(ended & (values > NEVER / 2), values / self._penalty(t + 1), NEVER)
            found, scores = _best([now.found, grown], tf.concat([now.scores, final], 1), beams)
            counts = now.counts + tf.reduce_sum(tf.cast(final > NEVER, tf.int32), 1)

            going = tf.where(tokens == END, NEVER * 8, values)  # below whatever is open
            order = tf.math.top_k(going, beams).indices  # (B, K)
            opened = grown.chosen(order)
            hopeless = opened.sums[:, 0] / self._penalty(t + 1) <= scores[:, 0]
            done = due | ((counts >= beams) & hopeless)
            ready = now.numbers[done][:, tf.newaxis]
            results = tf.nest.map_structure(
                lambda all_of_it, one: tf.tensor_scatter_nd_update(all_of_it, ready, one[done]),
                results,
                (found, scores),
            )
            now = now._replace(opened=opened, found=found, scores=scores, counts=counts)
            left = tf.where(~done)[:, 0]  # (B',): no step is computed of a sentence that is done
            rows = tf.range(batch)[:, tf.newaxis] * beams + tf.gather(parents, order, batch_dims=1)
            rows = tf.reshape(tf.gather(rows, left), [-1])
            state = tf.nest.map_structure(lambda one: tf.gather(one, rows), after["state"])
            last = tf.reshape(tf.gather(tf.gather(tokens, order, batch_dims=1), left), [-1])
            return t + 1, last, state, tf.nest.map_structure(lambda one: tf.gather(one, left), now), results

        started = (
            tf.constant(0),
            tf.fill([batch * beams], BEGIN),
            first_state,
            open_sentences,
            (found, scores),
        )
        t, _, _, _, (found, scores) = tf.while_loop(
            lambda t, last, *_: tf.size(last) > 0,
            body,
            started,
            shape_invariants=tf.nest.map_structure(_any_rows, started),
            parallel_iterations=1,
        )
        return found.tokens[:, :, :t], found.sums, scores, found.attention[:, :, :t]

    def _candidates(self, logits: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The 2K best continuations of each sentence, best first: log-probability, token and beam, (B, 2K) each."""
        beams, batch = self.beam_size, tf.shape(sums)[0]
        total = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        values, tokens = tf.math.top_k(logits, min(2 * beams + 2, logits.shape[-1]))
        values = tf.where((tokens == PADDING) | (tokens == BEGIN), NEVER, values - total)  # neither is ever right
        values, places = tf.math.top_k(values, 2 * beams)  # of each beam; the best of all are among them
        tokens = tf.gather(tokens, places, batch_dims=1)
        values = tf.reshape(values, [batch, beams, 2 * beams]) + sums[:, :, tf.newaxis]
        values = tf.reshape(tf.maximum(values, 2 * NEVER), [batch, -1])
        best, places = tf.math.top_k(values, 2 * beams)
        tokens = tf.gather(tf.reshape(tokens, [batch, -1]), places, batch_dims=1)
        return best, tokens, places // (2 * beams)

    def _penalty(self, length: tf.Tensor) -> tf.Tensor:
        return ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** self.length_penalty


class _Kept(NamedTuple):
    """Hypotheses of each sentence: tokens (B, N, T), log-probabilities (B, N), attention (B, N, T, S)."""

    tokens: Any
    sums: Any
    attention: Any

    def chosen(self, order: tf.Tensor) -> _Kept:
        return _Kept(*(tf.gather(one, order, batch_dims=1) for one in self))

    def grown(self, parents: Any, tokens: Any, sums: Any, t: tf.Tensor, weights: Any) -> _Kept:
        """The hypotheses `parents` with one more token each."""
        old = self.chosen(parents)
        here = tf.range(tf.shape(old.tokens)[2]) == t  # (T,)
        attention = old.attention
        if weights is not None:
            weights = tf.cast(tf.gather(weights, parents, batch_dims=1), tf.float32)
            attention = tf.where(here[:, tf.newaxis], weights[:, :, tf.newaxis], attention)
        return _Kept(tf.where(here, tokens[:, :, tf.newaxis], old.tokens), sums, attention)


class _Open(NamedTuple):
    """Sentences that are not done, a row each: numbers in the batch, and what is known of them."""

    numbers: Any
    limits: Any
    constants: Any
    opened: _Kept
    found: _Kept
    scores: Any
    counts: Any  # translations found so far


def _any_rows(tensor: tf.Tensor) -> tf.TensorShape:
    return tf.TensorShape([None, *tensor.shape[1:]]) if tensor.shape.rank else tensor.shape


def _best(kept: list[_Kept], scores: tf.Tensor, count: int) -> tuple[_Kept, tf.Tensor]:
    """Return the best `count` of several sets of hypotheses by score, and their scores. Equal ones keep their order."""
    joined = _Kept(*(tf.concat(one, axis=1) for one in zip(*kept, strict=True)))
    best, order = tf.math.top_k(scores, count)
    return joined.chosen(order), best
