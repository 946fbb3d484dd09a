"""dltool generate: what a language model writes, as it comes, or how probable it finds a text."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import DataError, Mistakes, UsageError, one_line
from dltool.output import tables
from dltool.recipe.data import reading
from dltool.runs import directory as runs
from dltool.runs import opened, resume
from dltool.runs.directory import RunDirectory
from dltool.runs.opened import OpenedRun

if TYPE_CHECKING:
    import numpy as np

    from dltool.data.tokenizers.base import Tokenizer

FIRST, LARGEST = 16, 256  # tokens that are drawn before they are shown: few at first, then more for speed
STDIN = "-"
NAMED = 10  # unknown tokens that a message names


@dataclass(frozen=True)
class Sampling:
    """How text is drawn.

    Args:
        length: tokens a sample.
        temperature: 0 takes the likeliest token.
        top_k: None for all tokens.
        top_p: None for all tokens.
        seed: equal seeds give equal texts.
        samples: texts, drawn side by side.
    """

    length: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int
    samples: int


def run(
    path: Path, *, prompt: str, sampling: Sampling, form: str | None, device: str, write: Callable[[str], None]
) -> None:
    """Write the prompt and what follows as it is drawn; several samples, CSV and JSON when all is there.

    Args:
        form: "csv" or "json"; else text.
    Raises:
        UsageError: the prompt has what the run does not know, or its model can't be run token by token.
        DataError: there is no such run, or it is not of a text.
    """
    mistakes = Mistakes()
    with mistakes:
        if sampling.top_p is not None and not 0 < sampling.top_p <= 1:
            raise UsageError(f"--top-p {sampling.top_p:g}: must lie above 0, up to 1")
    with mistakes:
        if not (sampling.temperature >= 0 and math.isfinite(sampling.temperature)):
            raise UsageError(f"--temperature {sampling.temperature:g}: must be a finite number >= 0")
    for option, value in {"--top-k": sampling.top_k, "--top-p": sampling.top_p}.items():
        with mistakes:
            if sampling.temperature == 0 and value is not None:
                raise UsageError(f"{option} {value:g}: --temperature 0 takes the likeliest token. Remove one of them.")
    mistakes.finish()
    directory = RunDirectory(path)
    tokenizer = _tokenizer(directory)
    start = _start(tokenizer, prompt)
    parts = _drawn(directory, tokenizer, start, sampling, device)
    if form in ("csv", "json"):
        import numpy as np

        texts = [tokenizer.decode(row) for row in np.concatenate(list(parts), axis=1)]
        rows = [{"sample": number, "prompt": prompt, "text": text} for number, text in enumerate(texts, start=1)]
        write(tables.render({"samples": tables.Rows.of(rows)}, form))
    elif sampling.samples == 1:
        _stream(tokenizer, prompt, parts, write)
    else:
        import numpy as np

        for number, row in enumerate(np.concatenate(list(parts), axis=1), start=1):
            text = f"{prompt}{tokenizer.decode(row)}"
            write(f"--- sample {number} of {sampling.samples} ---\n{text}{'' if text.endswith(chr(10)) else chr(10)}")


def score(path: Path, file: str, *, form: str, device: str, write: Callable[[str], None]) -> None:
    """Write how probable a text is: nats and bits a character, perplexity a token.

    Args:
        file: the text's file, plain or .gz; "-" for standard input.
    """
    import pandas as pd

    from dltool.data.tokenizers.base import UNKNOWN

    directory = RunDirectory(path)
    tokenizer = _tokenizer(directory)
    text = _text(file)
    tokens = tokenizer.encode(text)
    if len(tokens) < 2:
        raise DataError(f"{_name(file)}: has {len(tokens)} {tokenizer.kind}, at least 2 are needed: the first is given")
    # given is what is whole in the first token: a character that it only begins counts, where it ends
    given = tokenizer.unknown(text)[0] if tokens[0] == UNKNOWN else tokenizer.decoder().add(tokens[:1])
    characters = len(text) - len(given)
    if not characters:
        raise DataError(f"{_name(file)}: has no character after the first token, which is given")
    model = _model(directory, device)
    from dltool.tasks import _scoring

    with _token_by_token(directory):
        nats = _scoring.nats(model, tokens)
    total = float(nats.sum(dtype="float64"))
    row = {
        "run": str(directory),
        "file": _name(file),
        "characters": characters,
        "nats_per_character": total / characters,
        "bits_per_character": total / characters / math.log(2),
        "tokens": len(nats),
        "perplexity": math.exp(min(total / len(nats), 700)),
        "unknown": int((tokens[1:] == UNKNOWN).sum()),
    }
    write(tables.render({"score": pd.DataFrame([row])}, form))


def _tokenizer(directory: RunDirectory) -> Tokenizer:
    from dltool.data.tokenizers.base import Tokenizer

    directory.check_is_run()
    tokenizer = resume.own_vocabulary(directory)
    if not isinstance(tokenizer, Tokenizer):
        known = "TextFile and PythonDocs are such data"
        raise DataError(f"{directory}: was not trained as a language model on a text ({known})")
    return tokenizer


def _start(tokenizer: Tokenizer, prompt: str) -> np.ndarray:
    """The tokens to begin with: the prompt's, else a line's end, after which a line begins."""
    import numpy as np

    from dltool.data.tokenizers.base import UNKNOWN

    if unknown := tokenizer.unknown(prompt):
        listed = ", ".join(map(repr, unknown[:NAMED])) + (", ..." if len(unknown) > NAMED else "")
        raise UsageError(f"--prompt: the run does not know the {tokenizer.kind} {listed}. Leave them out.")
    start = tokenizer.encode(prompt)
    if not len(start):
        start = tokenizer.encode("\n")
        if UNKNOWN in start:
            start = np.array([1], np.int32)
    return start


def _drawn(
    directory: RunDirectory, tokenizer: Tokenizer, start: np.ndarray, sampling: Sampling, device: str
) -> Iterator[np.ndarray]:
    """Tokens as they are drawn, int32 (samples, some) each time."""
    model = _model(directory, device)
    from dltool.data.tokenizers.base import UNKNOWN
    from dltool.decoding.sampling import sampler
    from dltool.decoding.writer import Writer

    draw = sampler(sampling.temperature, sampling.top_k, sampling.top_p)
    unused = range(tokenizer.size, model.output_shape[-1])  # outputs that stand for no token
    with _token_by_token(directory):
        writer = Writer(model, sampling.samples, draw, sampling.seed, (UNKNOWN, *unused))
    writer.read(start)
    left, size = sampling.length, FIRST
    while left > 0:
        yield writer.write(min(size, left))
        left, size = left - size, min(2 * size, LARGEST)


def _stream(tokenizer: Tokenizer, prompt: str, parts: Iterator[np.ndarray], write: Callable[[str], None]) -> None:
    decoder = tokenizer.decoder()
    first = next(parts)  # nothing is written before the model has shown that it works
    text = prompt + decoder.add(first[0])
    write(text)
    last = text[-1:]
    for part in parts:
        text = decoder.add(part[0])
        write(text)
        last = text[-1:] or last
    rest = decoder.add([], last=True)
    write(rest if (rest or last).endswith("\n") else f"{rest}\n")


def _model(directory: RunDirectory, device: str) -> Any:
    run = OpenedRun(directory.path)
    opened.configure([run], device)
    return run.model


@contextmanager
def _token_by_token(directory: RunDirectory) -> Iterator[None]:
    """What keeps a model from going through a text token by token, in one line."""
    try:
        yield
    except ValueError as error:
        said = one_line(error)
        raise UsageError(f"{directory / runs.MODEL}: can't be run token by token: {said}.") from error


def _text(file: str) -> str:
    from dltool.data.formats import text_decoding

    with reading():
        if file == STDIN:
            return text_decoding.decoded(sys.stdin.buffer.read(), _name(file))
        return text_decoding.read(Path(file))


def _name(file: str) -> str:
    return "standard input" if file == STDIN else file
