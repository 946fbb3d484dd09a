"""Registers dltool's layers, losses, metrics and models with Keras, for programs that open a run without dltool.

    import dltool.runs.keras_objects
    import keras

    model = keras.models.load_model("runs/multi30k/model.keras")

`import dltool` alone imports neither Keras nor TensorFlow. Imported before Keras, this module also loads TensorFlow
quietly and in less time.
"""

from dltool.recipe import catalogue
from dltool.training import backend

backend.load()
catalogue.import_saved_objects()
