"""Encoder and decoder: step by step as all at once, as NumPy computes them, and deaf to padding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from dltool.library.applications.seq2seq import Seq2Seq
from dltool.library.layers.bahdanau_attention import BahdanauAttention
from dltool.library.layers.luong_attention import LuongAttention
from dltool.library.layers.residual import Residual
from dltool.library.layers.translation.attention_decoder import AttentionDecoder
from dltool.library.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy
from dltool.library.metrics.perplexity import Perplexity
from dltool.ops import devices, parallel

SOURCE_SIZE, TARGET_SIZE, BATCH = 11, 13, 3
BOTH_ENDS, BACKWARDS = keras.layers.Bidirectional, keras.layers.GRU(4, go_backwards=True)
VARIANTS: dict[str, dict[str, Any]] = {
    "without attention": {"attention": None},
    "without attention, fed, LSTM": {"attention": None, "input_feeding": True, "cell": "LSTM"},
    "Bahdanau": {"attention": BahdanauAttention, "cell": "GRU"},
    "Bahdanau, fed, LSTM": {"attention": lambda: BahdanauAttention(5), "input_feeding": True, "cell": "LSTM"},
    "Luong dot": {"attention": lambda: LuongAttention("dot")},
    "Luong general, fed": {"attention": lambda: LuongAttention("general"), "input_feeding": True},
    "Luong concat": {"attention": lambda: LuongAttention("concat"), "cell": "LSTM"},
    "Luong concat, fed": {"attention": lambda: LuongAttention("concat"), "input_feeding": True},
    "Luong scaled, two layers": {"attention": lambda: LuongAttention(scaled=True), "above": ["GRU"]},
    "Bahdanau, three layers": {"attention": BahdanauAttention, "cell": "LSTM", "above": ["LSTM", "GRU"]},
    "without attention, two layers": {"attention": None, "above": ["LSTM"]},
}


SOME = [
    "without attention",
    "Bahdanau, fed, LSTM",
    "Luong concat, fed",
    "Luong scaled, two layers",
    "Bahdanau, three layers",
]


def make(attention: Any = None, cell: str = "GRU", above: Sequence[str] = (), **arguments: Any) -> Any:
    encoder = [keras.layers.Bidirectional(keras.layers.GRU(4, bias_initializer="random_normal"))]
    decoder = [
        getattr(keras.layers, kind)(units, bias_initializer="random_normal")
        for kind, units in zip((cell, *above), (8, 5, 6)[: 1 + len(above)], strict=True)
    ]
    decoder = decoder if above else decoder[0]
    built = None if attention is None else attention()
    options = {"embedding_size": 7, "encoder": encoder, **arguments}
    return Seq2Seq(SOURCE_SIZE, TARGET_SIZE, decoder=decoder, attention=built, **options)


def sentences() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Of 6, 3 and 4 source and 5, 2 and 5 target tokens."""
    rng = np.random.default_rng(0)
    source, target = rng.integers(4, SOURCE_SIZE, (BATCH, 6)), rng.integers(4, TARGET_SIZE, (BATCH, 5))
    target[:, 0] = 2
    source[1, 3:] = source[2, 4:] = target[1, 2:] = 0
    y = np.concatenate([target[:, 1:], np.full((BATCH, 1), 0)], 1)
    y[0, 4] = y[1, 1] = y[2, 4] = 3
    return {"source": source.astype("int32"), "target": target.astype("int32")}, y.astype("int32")


@pytest.fixture(params=[pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in VARIANTS])
def model(request: pytest.FixtureRequest) -> Any:
    keras.utils.set_random_seed(1)
    return make(**VARIANTS[request.param])


def test_decoding_step_by_step_gives_the_logits_of_teacher_forcing(model: Any) -> None:
    x, _ = sentences()
    logits = model(x).numpy()
    state = model.encode(tf.constant(x["source"]))
    for t in range(5):
        found, weights, state = model.step(tf.constant(x["target"][:, t]), state)
        rows = x["target"][:, t] > 0
        np.testing.assert_allclose(found.numpy()[rows], logits[rows, t], rtol=1e-4, atol=1e-5)
        assert (weights is None) == (not model.has_attention)
        if weights is not None:
            np.testing.assert_allclose(weights.numpy().sum(axis=1), 1, rtol=1e-5)
            assert not weights.numpy()[x["source"] == 0].any(), "padding is attended to"


def test_padding_changes_nothing(model: Any) -> None:
    x, y = sentences()
    model.compile(loss=LabelSmoothedCrossentropy(), metrics=[Perplexity(from_logits=True)])
    padded = {name: np.pad(tokens, ((0, 0), (0, 4))) for name, tokens in x.items()}
    held = x["target"] > 0
    figures, logits = [], []
    for inputs, targets in ((x, y), (padded, np.pad(y, ((0, 0), (0, 4))))):
        model.reset_metrics()
        with tf.GradientTape() as tape:
            logits.append(model(inputs, training=True))  # nothing is dropped out in these models
            loss = model.compute_loss(y=targets, y_pred=logits[-1])
        gradients = tape.gradient(loss, model.trainable_weights)
        model.test_step((inputs, tf.constant(targets)))
        figures.append((float(loss), model.get_metrics_result(), [tf.convert_to_tensor(g).numpy() for g in gradients]))
    np.testing.assert_allclose(logits[1].numpy()[:, :5][held], logits[0].numpy()[held], rtol=1e-4, atol=1e-5)
    assert figures[0][0] == pytest.approx(figures[1][0], rel=1e-5)
    for name, value in figures[0][1].items():
        assert float(value) == pytest.approx(float(figures[1][1][name]), rel=1e-5)
    for one, other in zip(figures[0][2], figures[1][2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "model", ["without attention", "Luong scaled, two layers", "Bahdanau, three layers"], indirect=True
)
def test_gradients_are_those_of_finite_differences(model: Any) -> None:
    """Along a random direction in the space of all weights: (L(w + e d) - L(w - e d)) / 2e.

    Those of one layer with attention are compared weight by weight below.
    """
    x, y = sentences()
    loss_of = LabelSmoothedCrossentropy(0.1)
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, model.trainable_weights)]
    rng = np.random.default_rng(2)
    directions = [rng.standard_normal(g.shape).astype("float32") * (np.abs(g).mean() + 1e-8) for g in gradients]
    norm = np.sqrt(sum((d**2).sum() for d in directions))
    directions = [d / norm for d in directions]
    slope = sum((d * g).sum() for d, g in zip(directions, gradients, strict=True))
    start, epsilon, values = model.get_weights(), 1e-2, []
    for sign in (1, -1):
        for variable, w, d in zip(model.trainable_weights, start, directions, strict=True):
            variable.assign(w + sign * epsilon * d)
        values.append(float(loss_of(y, model(x))))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * epsilon), rel=2e-2, abs=2e-5)


@pytest.mark.parametrize("name", ["Bahdanau", "Bahdanau, fed, LSTM", "Luong concat, fed", "Luong general, fed"])
def test_every_weight_gets_the_gradient_that_a_plain_loop_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """product_scan, in parts of the batch or whole, against TensorFlow's gradients of an unrolled loop."""
    from dltool.library.layers.translation import attention_decoder
    from dltool.ops import product_scan

    def unrolled(step: Any, sequences: Any, state: Any, constants: Any, kernels: Any) -> Any:
        outputs = []
        for t in range(sequences[0].shape[0]):
            now = tuple(one[t] for one in sequences)
            state, found = step(now, state, constants, lambda i, a: product_scan.product_of(a, kernels[i]))
            outputs.append(found)
        return tuple(tf.stack(one) for one in zip(*outputs, strict=True)), tuple(state)

    x, y = sentences()
    keras.utils.set_random_seed(1)
    model, found = make(**VARIANTS[name]), []
    monkeypatch.setattr(parallel, "ROWS", 1)
    own = attention_decoder.product_scan
    for scan, at_once in ((own, 1), (own, 2), (unrolled, 1)):
        monkeypatch.setattr(attention_decoder, "product_scan", scan)
        monkeypatch.setattr(devices, "processors", lambda at_once=at_once: at_once)
        with tf.GradientTape() as tape:
            loss = LabelSmoothedCrossentropy(0.1)(y, model(x, training=True))
        found.append([tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, model.trainable_weights)])
    for variable, *gradients, expected in zip(model.trainable_weights, *found, strict=True):
        for gradient in gradients:
            np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize("name", ["Bahdanau", pytest.param("Luong general, fed", marks=pytest.mark.slow)])
def test_a_part_without_sentences_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch whose size is unknown when the graph is made, two parts of at least three of three sentences.

    The decoder alone, which is what is computed in parts.
    """
    keras.utils.set_random_seed(1)
    fed = VARIANTS[name].get("input_feeding", False)
    decoder = AttentionDecoder(keras.layers.GRU(8), 7, VARIANTS[name]["attention"](), input_feeding=fed)
    rng = np.random.default_rng(0)
    inputs = [tf.constant(rng.standard_normal(shape), tf.float32) for shape in ((BATCH, 5, 3), (BATCH, 6, 8))]
    held, ends = sentences()[0]["source"] > 0, rng.standard_normal((BATCH, 8))
    inputs += [tf.constant(held, tf.int32), tf.constant(ends, tf.float32)]
    decoder(inputs)

    def gradients(*inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(decoder(list(inputs), training=True) ** 2)
        by = [inputs[0], inputs[1], inputs[3], *(one.value for one in decoder.trainable_weights)]
        return [tf.convert_to_tensor(one) for one in tape.gradient(loss, by)]

    unknown = [tf.TensorSpec([None, *one.shape[1:]], one.dtype) for one in inputs]
    expected = gradients(*inputs)
    monkeypatch.setattr(parallel, "ROWS", BATCH)
    monkeypatch.setattr(devices, "processors", lambda: 2)
    found = tf.function(gradients, input_signature=unknown)(*inputs)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


# -- the formulas, in NumPy --------------------------------------------------------------------------------


def gru(x: np.ndarray, h: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One step of Keras's GRU: gates z, r, h; reset after the product."""
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    n = h.shape[-1]
    a, b = x @ kernel + bias[0], h @ recurrent + bias[1]
    z, r = sigmoid(a[:n] + b[:n]), sigmoid(a[n : 2 * n] + b[n : 2 * n])
    return z * h + (1 - z) * np.tanh(a[2 * n :] + r * b[2 * n :])


# Bahdanau's context is read before the cell, those of Luong after it: one of each kind with all that surrounds it.
# The other kinds of scores differ in nothing but the score.
@pytest.mark.parametrize(
    ("kind", "fed", "above"),
    [(kind, *around) for kind in ("Bahdanau", "general") for around in ((False, False), (True, False), (False, True))]
    + [("dot", False, False), ("concat", True, False), ("scaled", False, True), ("scaled", False, False)],
)
def test_logits_are_those_of_the_papers_formulas(kind: str, fed: bool, above: bool) -> None:
    """The whole model in NumPy, sentence by sentence, without padding."""
    keras.utils.set_random_seed(3)
    scaled = kind == "scaled"
    luong = LuongAttention("general", scaled=True) if scaled else None
    attention = BahdanauAttention if kind == "Bahdanau" else lambda: luong or LuongAttention(kind)
    model = make(attention, input_feeding=fed, tied_embeddings=True, above=["GRU"] if above else [])
    model.set_weights([w + 0.1 * np.random.default_rng(4).standard_normal(w.shape) for w in model.get_weights()])
    x, _ = sentences()
    logits = model(x).numpy()
    w = {v.path.removeprefix("seq2seq/"): v.numpy() for v in model.weights}
    layer = model.get_layer("decoder").attention
    own = {v.name: v.numpy() for v in layer.weights}
    part = lambda *words: next(value for path, value in w.items() if all(word in path for word in words))  # noqa: E731
    for row in range(BATCH):
        source = x["source"][row][x["source"][row] > 0]
        embedded = part("source_embedding")[source] * 7**0.5
        halves = []
        for side, order in (("forward", 1), ("backward", -1)):
            cell = [part(side, name) for name in ("cell/kernel", "recurrent_kernel", "bias")]
            h, states = np.zeros(4), []
            for e in embedded[::order]:
                h = gru(e, h, *cell)
                states.append(h)
            halves.append(np.array(states)[::order])
        memory = np.concatenate(halves, axis=1)  # (source, 8)
        ends = np.concatenate([memory[-1], memory[0]])
        s = np.tanh(ends @ part("bridge", "kernel") + part("bridge", "bias"))
        o, upper = np.zeros(7), np.zeros(5)
        cell = [part("decoder/gru", name) for name in ("cell/kernel", "recurrent_kernel", "bias")]

        def context(s: np.ndarray, memory: np.ndarray = memory) -> np.ndarray:
            if kind == "Bahdanau":
                hidden = np.tanh(s @ own["query_kernel"] + memory @ own["key_kernel"] + own["bias"])
                scores = hidden @ own["score_vector"]
            elif kind == "concat":
                scores = np.tanh(s @ own["query_kernel"] + memory @ own["key_kernel"]) @ own["score_vector"]
            else:
                scores = (memory if kind == "dot" else memory @ own["key_kernel"]) @ s / (8**0.5 if scaled else 1)
            return softmax(scores) @ memory

        for t, token in enumerate(x["target"][row]):
            if token == 0:
                break
            c = context(s)
            y = part("target_embedding")[token] * 7**0.5
            read = [y, *([c] if kind == "Bahdanau" else []), *([o] if fed else [])]
            s = gru(np.concatenate(read), s, *cell)
            c = c if kind == "Bahdanau" else context(s)
            if above:
                second = [part("decoder/above_1", name) for name in ("cell/kernel", "recurrent_kernel", "bias")]
                upper = gru(np.concatenate([s, c]), upper, *second)
            o = np.tanh(np.concatenate([upper if above else s, c]) @ part("readout_kernel") + part("readout_bias"))
            np.testing.assert_allclose(logits[row, t], o @ part("target_embedding").T, rtol=1e-4, atol=1e-5)


def test_a_reversed_source_is_read_from_its_last_token() -> None:
    keras.utils.set_random_seed(1)
    plain = make(encoder=[keras.layers.GRU(4)])
    backwards = make(encoder=[keras.layers.GRU(4)], reverse_source=True)
    backwards.set_weights(plain.get_weights())
    x, _ = sentences()
    turned = mirrored(x["source"], (x["source"] > 0).sum(axis=1))
    expected = plain({"source": turned, "target": x["target"]})
    np.testing.assert_allclose(backwards(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", [BahdanauAttention, lambda: LuongAttention("general")])
def test_attention_of_a_reversed_source_is_told_in_the_order_of_its_tokens(attention: Any) -> None:
    """With equal weights the mirror image of a plain model's that is fed the reversed sentence, of each hypothesis."""
    keras.utils.set_random_seed(1)
    plain, backwards = make(attention), make(attention, reverse_source=True)
    backwards.set_weights([w + np.random.default_rng(4).normal(0, 0.5, w.shape) for w in plain.get_weights()])
    plain.set_weights(backwards.get_weights())
    x, _ = sentences()
    lengths = (x["source"] > 0).sum(axis=1)
    turned = mirrored(x["source"], lengths)
    states = [backwards.encode(tf.constant(x["source"])), plain.encode(tf.constant(turned))]
    states = [{**state, "state": tuple(tf.repeat(one, 2, axis=0) for one in state["state"])} for state in states]
    for tokens in ([2] * 6, [4, 5, 6, 7, 8, 9]):  # two hypotheses a sentence, which then differ
        (_, found, states[0]), (_, expected, states[1]) = (
            model.step(tf.constant(tokens), state) for model, state in zip((backwards, plain), states, strict=True)
        )
        np.testing.assert_allclose(found, mirrored(expected.numpy(), lengths.repeat(2)), rtol=1e-4, atol=1e-6)
    assert np.abs(found - mirrored(found.numpy(), lengths.repeat(2))).max() > 0.01, "it is its own mirror image"


def mirrored(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Each row's first `length` entries from the last to the first, zeros after them."""
    turned = np.zeros_like(rows)
    for row, n in enumerate(lengths):
        turned[row, :n] = rows[row, :n][::-1]
    return turned


def test_an_encoder_may_be_deep_and_residual() -> None:
    layers = [
        keras.layers.Bidirectional(keras.layers.LSTM(4)),
        keras.layers.Dropout(0.1),
        Residual([keras.layers.GRU(8)]),
    ]
    model = make(lambda: LuongAttention("dot"), encoder=layers)
    x, _ = sentences()
    padded = {**x, "source": np.pad(x["source"], ((0, 0), (0, 3)))}
    np.testing.assert_allclose(model(padded), model(x), rtol=1e-4, atol=1e-5)
    assert model.encode(tf.constant(x["source"]))["memory"].shape == (BATCH, 6, 8)


def test_dropout_between_decoder_layers_is_of_training_only_and_is_saved() -> None:
    def two_layers(dropout: float) -> Any:
        keras.utils.set_random_seed(1)
        layers = [keras.layers.GRU(8), keras.layers.GRU(5)]
        return AttentionDecoder(layers[0], 7, LuongAttention(), above=layers[1:], dropout=dropout)

    rng = np.random.default_rng(0)
    inputs = [tf.constant(rng.standard_normal(shape), tf.float32) for shape in ((2, 5, 3), (2, 6, 8))]
    inputs += [tf.ones([2, 6], tf.int32), tf.constant(rng.standard_normal((2, 8)), tf.float32)]
    plain, dropped = two_layers(0.0), two_layers(0.5)
    expected = plain(inputs)
    dropped(inputs)
    dropped.set_weights(plain.get_weights())
    np.testing.assert_allclose(dropped(inputs, training=False), expected, rtol=1e-6)
    assert np.abs(dropped(inputs, training=True) - expected).max() > 0.01
    assert AttentionDecoder.from_config(dropped.get_config()).dropout.rate == 0.5


def test_a_decoder_of_one_layer_draws_no_seed_for_dropout() -> None:
    assert make(dropout=0.3).get_layer("decoder").dropout is None
    with pytest.raises(ValueError, match="must be 0 without layers above"):
        AttentionDecoder(keras.layers.GRU(4), 3, dropout=0.1)


def test_configurations_from_before_layers_above_and_scaling_are_of_one_layer_unscaled() -> None:
    config = AttentionDecoder(keras.layers.GRU(4), 3, LuongAttention("dot")).get_config()
    del config["above"], config["dropout"], config["attention"]["config"]["scaled"]
    restored = AttentionDecoder.from_config(config)
    assert restored.above == [] and restored.dropout is None and not restored.attention.scaled


def test_scores_of_a_network_are_not_scaled() -> None:
    with pytest.raises(ValueError, match="not with 'concat'"):
        LuongAttention("concat", scaled=True)


@pytest.mark.parametrize("model", SOME, indirect=True)
def test_a_saved_model_is_the_same_model(tmp_path: Path, model: Any) -> None:
    from dltool.recipe import catalogue

    x, _ = sentences()
    model.compile("adam", LabelSmoothedCrossentropy(0.2), metrics=[Perplexity(from_logits=True)])
    model.save(tmp_path / "a.keras")
    catalogue.import_saved_objects()
    loaded = keras.models.load_model(tmp_path / "a.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.loss.label_smoothing == 0.2
    first, second = (
        one.step(tf.constant([2, 2, 2]), one.encode(tf.constant(x["source"])))[0] for one in (model, loaded)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("tied", [False, True])
def test_embeddings_are_read_at_size_one_and_logits_begin_near_the_same(tied: bool) -> None:
    """Read at Keras's own size, up to 0.05, all positions look alike to attention, which then hardly learns."""
    keras.utils.set_random_seed(0)
    encoder, decoder = [keras.layers.Bidirectional(keras.layers.GRU(32))], keras.layers.GRU(48)
    model = Seq2Seq(99, 99, encoder, decoder, LuongAttention(), 64, tied_embeddings=tied)
    for name in ("source_embedding", "target_embedding"):
        assert float(np.std(model.get_layer(name)(np.arange(99)))) == pytest.approx(1, rel=0.05)
    tokens = np.random.default_rng(0).integers(4, 99, (8, 6))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        value = loss(tokens, model({"source": tokens, "target": tokens}))
    assert float(value) == pytest.approx(np.log(99), rel=0.1)
    key = model.get_layer("decoder").attention.weights[0]
    assert float(tf.norm(tape.gradient(value, key.value))) > 1e-3  # 5e-6 of embeddings up to 0.05


def test_word_dropout_drops_whole_tokens_of_source_and_target() -> None:
    keras.utils.set_random_seed(1)
    model = make(word_dropout=0.5)
    x = {"source": np.full((40, 30), 5, "int32"), "target": np.full((40, 20), 5, "int32")}
    dropped = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.rate == 0.5]
    read = keras.Model(model.inputs, [layer.input for layer in dropped] + [layer.output for layer in dropped])
    before_source, before_target, source, target = (np.array(one) for one in read(x, training=True))
    assert source.shape[1:] == (30, 7) and target.shape[1:] == (20, 7)
    for before, after in ((before_source, source), (before_target, target)):
        whole = np.isclose(after, 2 * before, rtol=1e-5).all(-1)
        assert (whole | (after == 0).all(-1)).all()
        assert whole.mean() == pytest.approx(0.5, abs=0.06)  # 4 standard deviations of 800 draws
    np.testing.assert_array_equal(model(x), model(x, training=False))


def test_memory_dropout_is_of_the_encoders_outputs_in_training_only() -> None:
    keras.utils.set_random_seed(1)
    model = make(lambda: LuongAttention("dot"), memory_dropout=0.25)
    x, _ = sentences()
    memory = keras.Model(model.inputs, model.get_layer("encoded").output)
    assert (np.array(memory(x, training=True)) == 0).mean() > (np.array(memory(x, training=False)) == 0).mean()
    whole, dropped = (np.array(memory(x, training=training))[0] for training in (False, True))  # without padding
    np.testing.assert_allclose(dropped[dropped != 0], (whole / 0.75)[dropped != 0], rtol=1e-5)
    np.testing.assert_array_equal(model.encode(x["source"])["memory"], memory(x, training=False))


def test_shared_and_tied_embeddings_are_one_matrix() -> None:
    encoder = lambda: [keras.layers.GRU(4)]  # noqa: E731
    sizes = {}
    for shared in (False, True):
        for tied in (False, True):
            model = Seq2Seq(
                9, 9, encoder(), keras.layers.GRU(4), embedding_size=5, shared_embeddings=shared, tied_embeddings=tied
            )
            sizes[shared, tied] = model.count_params()
    assert sizes[False, False] - sizes[True, False] == sizes[False, False] - sizes[False, True] == 45
    assert sizes[False, False] - sizes[True, True] == 90


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"encoder": [keras.layers.GRU(4, return_state=True)]}, "must not have return_state"),
        ({"encoder": [keras.layers.GRU(4), keras.layers.GlobalAveragePooling1D()]}, "must keep the time axis"),
        ({"encoder": [BACKWARDS]}, "go_backwards, which puts the padding first"),
        ({"encoder": [BOTH_ENDS(BACKWARDS, backward_layer=keras.layers.GRU(4))]}, "Bidirectional .* go_backwards"),
        ({"encoder": [BOTH_ENDS(keras.layers.GRU(4), merge_mode=None)]}, "must have a merge_mode"),
        ({"encoder": [Residual([keras.layers.Conv1D(3, 3, padding="same")])]}, "Conv1D .* takes no mask"),
        ({"shared_embeddings": True}, "need one vocabulary"),
        ({"memory_dropout": -0.1}, r"memory_dropout must be a number in \[0, 1\)"),
        ({"word_dropout": 1.0}, r"word_dropout must be a number in \[0, 1\)"),
        ({"dropout": 1.0}, r"a number in \[0, 1\)"),
        ({"embedding_size": 0}, "embedding_size must be an int > 0"),
        ({"decoder": keras.layers.SimpleRNN(4)}, "must be a GRU or an LSTM. Got SimpleRNN"),
        ({"decoder": keras.layers.GRU(4, reset_after=False)}, "must have reset_after=True"),
        ({"decoder": keras.layers.GRU(4, dropout=0.1)}, "Give the dropout to the model"),
        ({"decoder": []}, "or a list of them. Got an empty list"),
        ({"decoder": [keras.layers.GRU(4), keras.layers.Dense(4)]}, "must be a GRU or an LSTM. Got Dense"),
        (
            {"decoder": [keras.layers.GRU(4), keras.layers.GRU(4)], "input_feeding": True},
            "is of a decoder of one layer",
        ),
        ({"attention": keras.layers.Dense(3)}, "must be a BahdanauAttention"),
        ({"attention": LuongAttention("dot"), "decoder": keras.layers.GRU(5)}, "as wide as the encoder's output"),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict[str, Any], match: str) -> None:
    given = {"encoder": [keras.layers.GRU(4)], "decoder": keras.layers.GRU(4), "embedding_size": 3, **arguments}
    with pytest.raises(ValueError, match=match):
        Seq2Seq(SOURCE_SIZE, TARGET_SIZE, **given)


# -- loss and metrics --------------------------------------------------------------------------------------


def test_the_loss_of_an_epoch_is_the_mean_over_its_tokens() -> None:
    """Batches of 1 and 2 sentences and of 5 and 7 tokens: Keras's mean would weigh them 1 : 2."""
    keras.utils.set_random_seed(1)
    model = make()
    x, y = sentences()
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[Perplexity(from_logits=True)]
    )
    probabilities = softmax(model(x).numpy().astype("float64"), axis=-1)
    held = y > 0
    nats = -np.log(np.take_along_axis(probabilities, y[..., None], -1)[..., 0][held])
    assert held.sum() == 12
    for batches in ([slice(0, 3)], [slice(0, 1), slice(1, 3)]):
        model.reset_metrics()
        for batch in batches:
            model.test_step(({name: tokens[batch] for name, tokens in x.items()}, tf.constant(y[batch])))
        found = model.get_metrics_result()
        assert float(found["loss"]) == pytest.approx(nats.mean(), rel=1e-5)
        assert float(found["perplexity"]) == pytest.approx(np.exp(nats.mean()), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_label_smoothing_is_that_of_keras_on_one_hot_targets(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((4, 5, 7)).astype("float32"), rng.integers(0, 7, (4, 5))
    twin = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    expected = float(twin(np.eye(7, dtype="float32")[labels], logits))
    assert float(LabelSmoothedCrossentropy(smoothing)(labels, logits)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="must be a number in"):
        LabelSmoothedCrossentropy(1.0)


def test_perplexity_of_equal_probabilities_is_their_number() -> None:
    metric = Perplexity(from_logits=True)
    metric.update_state(np.array([[1, 4]]), np.zeros((1, 2, 6), "float32"))
    assert float(metric.result()) == pytest.approx(6, rel=1e-5)
