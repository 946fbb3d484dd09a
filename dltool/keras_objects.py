"""Registers dltool's layers, losses, metrics and models with Keras, for programs that open a run without dltool.

    import dltool.keras_objects
    import keras

    model = keras.models.load_model("runs/multi30k/model.keras")

`import dltool` alone imports neither Keras nor TensorFlow. Imported before Keras, this module also loads TensorFlow
quietly and in less time.
"""

from dltool import backend, names

backend.load()
names.import_saved_objects()
