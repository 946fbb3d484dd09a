"""The random numbers of a process as they were, whatever is drawn in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Put back the global random state of Python, NumPy, Keras and TensorFlow when the block ends.

    Limits: seed generators that belong to a layer are variables of its model and left to whoever keeps those.
    """
    from tensorflow.python.eager import context
    from tensorflow.python.ops import stateful_random_ops

    from dltool.graph import keras_internals

    operations = context.context()._rng  # seeds of TensorFlow's own random operations; None until a seed is set
    of_keras = keras_internals.global_seed_generator()
    of_tensorflow = stateful_random_ops.global_generator
    python, numpy = random.getstate(), np.random.get_state()
    seeds = None if operations is None else operations.getstate()
    arrays = [
        (generator, np.array(generator.state)) for generator in (of_keras, of_tensorflow) if generator is not None
    ]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if seeds is not None:
            operations.setstate(seeds)
        keras_internals.set_global_seed_generator(of_keras)
        stateful_random_ops.global_generator = of_tensorflow
        for generator, array in arrays:
            generator.state.assign(array)
