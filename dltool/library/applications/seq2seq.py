"""Encoder and decoder of sentences, with and without attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import layers

from dltool.library.applications._seq2seq_model import BRIDGE, DECODER, ENCODED, REVERSED, SOURCE, TARGET, Translator
from dltool.library.layers._wiring import Composite, apply, checked
from dltool.library.layers.translation.attention_decoder import AttentionDecoder
from dltool.library.layers.translation.bridge import Bridge
from dltool.library.layers.translation.padding_mask import PaddingMask
from dltool.library.layers.translation.reversed_tokens import ReversedTokens
from dltool.library.layers.translation.scaled_embedding import ScaledEmbedding

LAYER_ARGUMENTS = ("encoder", "decoder", "attention")  # read by recipe/declarations.py


def Seq2Seq(  # noqa: N802, as Keras's own architectures
    source_vocabulary_size: int,
    target_vocabulary_size: int,
    encoder: Sequence[Any],
    decoder: Any,
    attention: Any = None,
    embedding_size: int = 256,
    input_feeding: bool = False,
    tied_embeddings: bool = False,
    shared_embeddings: bool = False,
    reverse_source: bool = False,
    dropout: float = 0.0,
    word_dropout: float = 0.0,
    memory_dropout: float = 0.0,
) -> Translator:
    """Build a recurrent encoder and decoder of sentences; outputs are logits of the target's tokens.

        source - embedding - encoder ------ memory ------.
                                  |                  attention
                                bridge                   |
                                  |                      |
        target - embedding ---- decoder - o = tanh(W [state; context]) - logits

    Trained by teacher forcing: the decoder reads the right tokens before each.

    Args:
        source_vocabulary_size, target_vocabulary_size: tokens, padding (0) included.
        encoder: layers that keep the time axis, such as [{Bidirectional: {layer: {GRU: 256}}}]; return_sequences is
            set.
        decoder: a GRU or an LSTM, or a list of them: attention is from the first's states, and those above, whose first
            state is 0, read the state below and the context (Wu et al., 2016, section 3).
        attention: BahdanauAttention, LuongAttention or null, which leaves all to the encoder's last state (slide 139).
        embedding_size: width of embeddings and of o. Embeddings are read sqrt(embedding_size) times as large as they
            are drawn, at a size of one (Vaswani et al., 2017, section 3.4): read smaller, attention hardly learns.
        input_feeding: whether o is an input of the next step (Luong et al., section 3.3); of one decoder layer only.
        tied_embeddings: whether logits are o times the target's embeddings, transposed; else a matrix of its own.
        shared_embeddings: whether source and target, of one vocabulary, have the same embeddings.
        reverse_source: whether the source is read backwards.
        dropout: share of embeddings, of o and of what decoder layers above the first read that is dropped in training,
            in [0, 1).
        word_dropout: share of tokens whose whole embedding is dropped in training, of source and target, in [0, 1)
            (Sennrich & Zhang, 2019, arXiv:1905.11901, section 3.2).
        memory_dropout: share of the encoder's outputs that is dropped in training before attention and the decoder's
            first state are made of them, in [0, 1).
    Returns:
        A Keras model, {"source": int (batch, source), "target": int (batch, target)} -> (batch, target, vocabulary),
        padding 0 at the ends and masked; with methods `encode` and `step` for decoding.
    Raises:
        ValueError: an argument is out of its range, shared vocabularies differ in size, or padding would change
            the encoder's outputs.
    Limits: opens only where dltool is installed.
    Reference: Sutskever et al., 2014, arXiv:1409.3215; Bahdanau et al., 2015, arXiv:1409.0473; Luong et al., 2015,
        arXiv:1508.04025; several decoder layers: Wu et al., 2016, arXiv:1609.08144; tied embeddings: Press & Wolf,
        2017, arXiv:1608.05859; lecture slides 139 and 140.
    """
    for name, share in {"dropout": dropout, "word_dropout": word_dropout, "memory_dropout": memory_dropout}.items():
        if not 0 <= share < 1:
            raise ValueError(f"Seq2Seq's {name} must be a number in [0, 1). Got {share!r}.")
    sizes = {
        "source_vocabulary_size": source_vocabulary_size,
        "target_vocabulary_size": target_vocabulary_size,
        "embedding_size": embedding_size,
    }
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"Seq2Seq's {name} must be an int > 0. Got {size!r}.")
    if shared_embeddings and source_vocabulary_size != target_vocabulary_size:
        raise ValueError(
            "Seq2Seq's shared_embeddings need one vocabulary (shared_vocabulary of the data). "
            f"Got sizes {source_vocabulary_size} and {target_vocabulary_size}."
        )
    reading = checked("Seq2Seq", "encoder", encoder)
    for layer in _every(reading):
        _check_reading(layer)
        _return_sequences(layer)
    decoders = list(decoder) if isinstance(decoder, list | tuple) else [decoder]
    if not decoders:
        raise ValueError("Seq2Seq's decoder must be a GRU or an LSTM, or a list of them. Got an empty list.")
    first, *above = decoders
    writing = AttentionDecoder(
        first, embedding_size, attention, input_feeding, above, dropout if above else 0.0, name=DECODER
    )

    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    target_embedding = ScaledEmbedding(target_vocabulary_size, embedding_size, tie_weights=tied_embeddings, name=TARGET)
    source_embedding = target_embedding
    if not shared_embeddings:
        source_embedding = ScaledEmbedding(source_vocabulary_size, embedding_size, name=SOURCE)

    def read(embedded: Any) -> Any:
        whole = layers.Dropout(word_dropout, noise_shape=(None, None, 1))(embedded) if word_dropout else embedded
        return layers.Dropout(dropout)(whole)

    tokens = ReversedTokens(name=REVERSED)(source) if reverse_source else source
    x = PaddingMask(name="source_mask")([source_embedding(tokens), source])
    memory = apply(reading, read(x), "encoder")
    if len(memory.shape) != 3:
        raise ValueError(f"Seq2Seq's encoder must keep the time axis. It gives shape {tuple(memory.shape)}.")
    memory = layers.Identity(name=ENCODED)(layers.Dropout(memory_dropout)(memory) if memory_dropout else memory)
    both_ends = any(isinstance(layer, layers.Bidirectional) for layer in _every(reading))
    states = Bridge(writing.width, writing.states, both_ends, name=BRIDGE)([memory, source])
    embedded = read(target_embedding(target))
    o = layers.Dropout(dropout)(writing([embedded, memory, source, *states]))
    logits = PaddingMask(name="logits")([target_embedding(o, reverse=True), target])
    return Translator({"source": source, "target": target}, logits, name="seq2seq")


def _every(value: Any) -> Iterator[Any]:
    """Yield layers, and those inside wirings and Sequentials."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _every(item)
    elif isinstance(value, keras.Sequential):
        yield from _every(value.layers)
    elif isinstance(value, Composite):
        for inner in vars(value).values():
            yield from _every(inner)
    elif isinstance(value, layers.Layer):
        yield value


def _check_reading(layer: Any) -> None:
    """Refuse a layer whose outputs depend on how far a sentence is padded, or that gives several."""
    name, both_ends = type(layer).__name__, isinstance(layer, layers.Bidirectional)
    if getattr(layer.forward_layer if both_ends else layer, "go_backwards", False):
        raise ValueError(
            f"{name} in Seq2Seq's encoder must not have go_backwards, which puts the padding first. "
            "Use reverse_source or a Bidirectional of a forward layer."
        )
    if both_ends and layer.merge_mode is None:
        raise ValueError(f"{name} in Seq2Seq's encoder must have a merge_mode, such as concat. Got None.")
    if not layer.supports_masking:
        raise ValueError(
            f"{name} in Seq2Seq's encoder takes no mask: padding would change its outputs. Use recurrent layers."
        )


def _return_sequences(layer: Any) -> None:
    """Let a recurrent layer, and both of a Bidirectional, give every output and no state."""
    inner = [layer.forward_layer, layer.backward_layer] if isinstance(layer, layers.Bidirectional) else []
    for one in (layer, *inner):
        if hasattr(one, "return_sequences"):
            if one.return_state:
                raise ValueError(f"{type(one).__name__} in Seq2Seq's encoder must not have return_state. Remove it.")
            one.return_sequences = True
