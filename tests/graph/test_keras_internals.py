"""What dltool relies on in Keras's private parts; one test a function, for whoever upgrades Keras."""

from __future__ import annotations

import ast
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import dltool
from dltool.graph import keras_internals as internals

PACKAGE = Path(dltool.__file__).parent
ALLOWED = {"graph/keras_internals.py"}


def net() -> keras.Model:
    x = keras.Input((3,), name="x")
    return keras.Model(x, layers.Dense(2, name="out")(keras.ops.tanh(layers.Dense(4, name="hidden")(x))))


def trained(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    model = net()
    model.compile(optimizer=optimizer, loss="mse", metrics=["mae"], weighted_metrics=["mse"])
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    return model


# -- models and layers -------------------------------------------------------------------------------------


def test_graph_of_knows_models_and_no_layers() -> None:
    model = net()
    assert internals.graph_of(model) is model
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    assert internals.graph_of(sequential).outputs[0].shape == (None, 2)
    assert internals.graph_of(keras.Sequential([layers.Dense(2)])) is None  # not built
    assert internals.graph_of(layers.Dense(2)) is None and internals.graph_of(keras.Model()) is None
    function = keras.Function(model.inputs, model.outputs)
    assert internals.graph_of(function) is function


def test_nodes_come_in_the_order_of_calls() -> None:
    names = [node.operation.name for node in internals.nodes(net())]
    assert names[0] == "hidden" and names[-1] == "out" and len(names) == 3


def test_node_of_a_tensor_is_the_call_that_gave_it() -> None:
    model = net()
    node = internals.node_of(model.outputs[0])
    assert node.operation.name == "out" and node.outputs[0] is model.outputs[0]
    assert internals.node_of(node.input_tensors[0]).operation is not node.operation


def test_a_renamed_input_is_fed_by_its_new_name() -> None:
    x = keras.Input((3,), name="x")
    internals.rename_tensor(x, "column")
    model = keras.Model({"column": x}, layers.Dense(1)(x))
    assert model.inputs[0].name == "column"
    assert [layer.name for layer in model.layers][0] == "column"


def test_operations_are_layers_and_functions() -> None:
    names = [operation.name for operation in internals.operations(net()) or ()]
    assert {"hidden", "out"} <= set(names) and len(names) == 4  # the input and tanh too
    assert internals.operations(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    assert internals.operations(layers.Dense(2)) is None


def test_inner_layers_are_those_of_any_depth_or_the_own_ones() -> None:
    inner = layers.Bidirectional(layers.LSTM(2, name="rnn"), name="both")
    model = keras.Sequential([keras.Input((5, 3)), inner], name="model")
    own = [layer.name for layer in internals.inner_layers(model, recursive=False)]
    assert own[-1] == "both" and "forward_rnn" not in own
    assert {"both", "forward_rnn", "backward_rnn"} <= {layer.name for layer in internals.inner_layers(model)}
    assert internals.inner_layers(model, include_self=True)[0] is model


def test_layers_take_training_and_functions_do_not() -> None:
    taken = {node.operation.name: internals.takes_training(node.operation) for node in internals.nodes(net())}
    assert taken.pop("hidden") and taken.pop("out") and list(taken.values()) == [False]


def test_activation_layers_are_known_by_their_place() -> None:
    assert internals.is_activation_layer(layers.ReLU()) and internals.is_activation_layer(layers.Activation("tanh"))
    assert not internals.is_activation_layer(layers.Dense(2))


def test_convolutions_of_all_ranks_share_a_class() -> None:
    for rank in "123":
        assert isinstance(getattr(layers, f"Conv{rank}D")(2, 3), internals.Convolution)
        assert isinstance(getattr(layers, f"Conv{rank}DTranspose")(2, 3), internals.TransposedConvolution)
    assert isinstance(layers.DepthwiseConv2D(3), internals.DepthwiseConvolution)
    assert isinstance(layers.SeparableConv1D(2, 3), internals.SeparableConvolution)


def test_attention_has_four_projections() -> None:
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=5)
    attention(np.ones((1, 4, 6)), np.ones((1, 4, 6)))
    found = internals.attention_projections(attention)
    assert {name: tuple(dense.kernel.shape) for name, dense in found.items()} == {
        "query": (6, 2, 3), "key": (6, 2, 3), "value": (6, 2, 5), "output": (2, 5, 6)
    }  # fmt: skip


def test_a_loss_computes_in_the_type_that_is_set() -> None:
    loss = keras.losses.MeanSquaredError()
    internals.set_computing_type(loss, "float64")
    assert loss(tf.ones((2, 1), tf.float64), tf.zeros((2, 1), tf.float64)).dtype == tf.float64


def test_masks_go_with_tensors() -> None:
    embedded = layers.Embedding(5, 2, mask_zero=True)(np.array([[1, 0]]))
    np.testing.assert_array_equal(internals.mask_of(embedded), [[True, False]])
    tensor = tf.ones((1, 2))
    assert internals.mask_of(tensor) is None
    internals.set_mask(tensor, tf.constant([[False, True]]))
    # the mean over the one value that is not masked: (3 - 1)^2 = 4
    assert float(keras.losses.MeanSquaredError()(tf.constant([[[9.0], [3.0]]]), _masked([[1.0], [1.0]]))) == 4.0


def _masked(values: list[list[float]]) -> tf.Tensor:
    tensor = tf.constant([values])
    internals.set_mask(tensor, tf.constant([[False, True]]))
    return tensor


# -- what a model is compiled with -------------------------------------------------------------------------


def test_compiled_losses_and_metrics_are_found_and_replaced() -> None:
    assert internals.compiled_loss(net()) is None and internals.compiled_metrics(net()) is None
    model = trained(keras.optimizers.SGD(0.0))
    assert internals.uncompiled_loss(model) == {"loss": "mse", "loss_weights": None}
    compiled = internals.compiled_loss(model)
    y, predicted = np.zeros((4, 2)), np.full((4, 2), 3.0)
    assert float(compiled(y, predicted)) == 9.0
    (held,) = internals.flat_losses(compiled)
    internals.set_flat_losses(compiled, [held._replace(loss=keras.losses.MeanAbsoluteError())])
    assert float(compiled(y, predicted)) == 3.0
    plain, weighted = internals.flat_metrics(internals.compiled_metrics(model))
    assert [type(metric).__name__ for metric in (*plain, *weighted)] == ["MetricsList", "MetricsList"]
    assert [one.name for one in (*plain[0].metrics, *weighted[0].metrics)] == ["mae", "mse"]


def test_the_loss_tracker_means_the_loss() -> None:
    model = trained(keras.optimizers.SGD(0.0))
    model.reset_metrics()
    internals.loss_tracker(model).update_state(2.0, sample_weight=1)
    internals.loss_tracker(model).update_state(5.0, sample_weight=2)
    assert float(model.get_metrics_result()["loss"]) == pytest.approx(4.0)  # (2 + 2 * 5) / 3


def test_compute_loss_takes_training_of_every_model() -> None:
    model = trained(keras.optimizers.SGD(0.0))
    y = np.zeros((4, 2))
    assert float(internals.compute_loss(model, x=None, y=y, y_pred=y + 2.0, training=False)) == 4.0


def test_cleared_losses_are_gone() -> None:
    layer = layers.Dense(2, activity_regularizer="l2")
    model = keras.Sequential([keras.Input((3,)), layer])
    model(np.ones((1, 3)))
    assert len(model.losses) == 1
    internals.clear_losses(model)
    assert model.losses == []


def test_a_model_is_saved_with_the_optimizer_that_is_set(tmp_path: Path) -> None:
    model = trained(keras.optimizers.SGD(0.5))
    model.optimizer = keras.optimizers.Adam(0.25)
    internals.set_compiled_optimizer(model, model.optimizer)
    model.save(tmp_path / "model.keras")
    assert type(keras.models.load_model(tmp_path / "model.keras").optimizer) is keras.optimizers.Adam


def test_options_of_losses_and_settings_of_metrics() -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, axis=1)
    assert internals.options_of(loss)["axis"] == 1 and internals.options_of(keras.metrics.Mean()) == {}
    assert internals.settings_of(keras.metrics.BinaryCrossentropy(from_logits=True))["from_logits"] is True
    assert internals.settings_of(keras.metrics.AUC(from_logits=True))["from_logits"] is True
    assert internals.settings_of(keras.metrics.Mean())["from_logits"] is None
    assert internals.settings_of(keras.metrics.BinaryAccuracy(threshold=0.25))["threshold"] == 0.25
    function = internals.metric_function(keras.metrics.BinaryAccuracy())
    assert function.__name__ == "binary_accuracy"  # type: ignore[union-attr]
    assert internals.metric_function(keras.metrics.Precision()) is None


# -- optimizers and callbacks ------------------------------------------------------------------------------


def test_the_optimizer_inside_a_loss_scale_optimizer() -> None:
    inner = keras.optimizers.SGD(0.5)
    assert internals.inner_optimizer(keras.optimizers.LossScaleOptimizer(inner)) is inner
    assert internals.inner_optimizer(inner) is inner


def test_a_learning_rate_is_read_from_what_is_set() -> None:
    schedule = keras.optimizers.schedules.PolynomialDecay(0.5, 10)
    assert internals.learning_rate(keras.optimizers.SGD(schedule)) is schedule
    assert float(internals.learning_rate(keras.optimizers.SGD(0.25))) == 0.25  # type: ignore[arg-type]
    optimizer = keras.optimizers.SGD(0.25)
    internals.set_learning_rate(optimizer, schedule)
    assert float(optimizer.learning_rate) == 0.5


def test_the_batch_counter_counts_batches_where_iterations_count_updates() -> None:
    model = net()
    model.compile(optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), loss="mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), batch_size=1, verbose=0)
    assert (int(internals.batch_counter(model.optimizer)), int(model.optimizer.iterations)) == (4, 2)


def test_average_pairs_are_weights_and_their_averages() -> None:
    model = trained(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    pairs = internals.average_pairs(model.optimizer)
    assert [weight for weight, _ in pairs] == model.trainable_variables
    assert all(average is not None and average.shape == weight.shape for weight, average in pairs)


def test_adams_moments_after_one_step_are_shares_of_the_gradient() -> None:
    weight = keras.Variable([1.0, 2.0])
    adam = keras.optimizers.Adam(beta_1=0.75, beta_2=0.5)
    adam.apply([tf.constant([4.0, -2.0])], [weight])
    m, v = internals.moments(adam, weight)
    np.testing.assert_allclose(m, [1.0, -0.5])  # (1 - 0.75) g
    np.testing.assert_allclose(v, [8.0, 2.0])  # (1 - 0.5) g^2


def test_the_direction_of_a_figure_is_that_of_early_stopping() -> None:
    model = trained(keras.optimizers.SGD(0.1))
    assert internals.direction_of("val_loss", model) == "min" and internals.direction_of("mae", model) == "min"
    with pytest.raises(ValueError, match="(?i)monitor"):
        internals.direction_of("unheard_of", model)


def test_the_mark_of_swapped_averages_is_dropped() -> None:
    callback = keras.callbacks.SwapEMAWeights()
    assert internals.drop_swapped_mark(callback) is False
    callback._ema_weights_in_model = True
    assert internals.drop_swapped_mark(callback) is True and "_ema_weights_in_model" not in vars(callback)


# -- the process -------------------------------------------------------------------------------------------


def test_a_stateless_scope_is_seen() -> None:
    assert not internals.in_stateless_scope()
    with keras.StatelessScope():
        assert internals.in_stateless_scope()


def test_weights_are_read_in_the_type_that_is_set() -> None:
    weight = keras.Variable([1.0], dtype="float32")
    with internals.autocast_weights("bfloat16"):
        assert weight.value.dtype == tf.bfloat16
    assert weight.value.dtype == tf.float32


def test_layers_look_the_cudnn_kernel_up_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    native, seen = internals.cudnn_kernel("lstm"), []

    def watched(*arguments: object, **keywords: object) -> object:
        seen.append(True)
        return native(*arguments, **keywords)

    try:
        internals.set_cudnn_kernel("lstm", watched)
        layers.LSTM(2, use_cudnn="auto")(np.ones((1, 3, 2), "float32"))
    finally:
        internals.set_cudnn_kernel("lstm", native)
    assert seen


def test_the_global_seed_generator_can_be_put_back() -> None:
    keras.utils.set_random_seed(1)
    keras.random.normal((1,))
    held = internals.global_seed_generator()
    internals.set_global_seed_generator(None)
    keras.random.normal((1,))
    assert internals.global_seed_generator() is not held
    internals.set_global_seed_generator(held)
    assert internals.global_seed_generator() is held


# -- nowhere else ------------------------------------------------------------------------------------------


def _written_in_keras() -> set[str]:
    """The private attributes of Keras's objects: `self._x` in its classes of models, layers, losses and the like."""
    source = Path(keras.__file__).parent / "src"
    folders = ("models", "layers/layer.py", "ops", "optimizers", "trainers", "losses", "metrics", "callbacks")
    files = [path for name in folders for path in ([source / name] if name.endswith(".py") else (source / name).rglob("*.py"))]  # fmt: skip # noqa: E501
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files if not path.name.endswith("_test.py")]
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def test_no_other_file_touches_keras_s_private_parts() -> None:
    """No attribute with an underscore is used that Keras's classes have and the file itself does not set."""
    private, found = _written_in_keras(), []
    assert {"_flatten_layers", "_compile_loss", "_learning_rate"} <= private
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name in ALLOWED:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        own |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
        own |= {node.target.id for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}  # fmt: skip # noqa: E501
        for node in attributes:
            if node.attr in private - own:
                found.append(f"{name}:{node.lineno} {ast.unparse(node)}")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("keras.src"):
                found.append(f"{name}:{node.lineno} {node.module}")
    assert [one for one in found if not one.endswith("held._replace")] == []
