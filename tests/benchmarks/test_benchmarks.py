"""make bench: what dltool and the plain Keras script train is the same model on the same data."""

from __future__ import annotations

import pytest

from dltool.recipe import build, reading
from dltool.recipe.data import Data
from tests.benchmarks import plain_keras, training


@pytest.mark.data
@pytest.mark.parametrize("net", training.OVERRIDES)
def test_the_recipe_as_overridden_is_the_model_of_the_plain_script(net: str) -> None:
    """Weights of the same shapes, and as many steps of the same batch size."""
    loaded = reading.load(training.RECIPES[net], training.OVERRIDES[net])
    data = Data.of(loaded, build.dataset(loaded.get("data", "dataset")))
    model = build.model(loaded, data.facts, lambda: None)
    make, batch_size = plain_keras.NETS[net]
    plain, _ = make(1)
    ours, theirs = (sorted(tuple(weight.shape) for weight in one.trainable_weights) for one in (model, plain))
    assert ours == theirs
    assert loaded.setting("fit", "batch_size") == batch_size
    assert loaded.setting("fit", "steps_per_epoch") * batch_size == training.EXAMPLES[net]
