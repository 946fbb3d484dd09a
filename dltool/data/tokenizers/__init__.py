"""Text as numbers and back: characters, words or subword pieces; no Keras, no TensorFlow."""
