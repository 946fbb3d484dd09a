"""dltool generate: text from a language model, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from dltool.cli.options import Device, DeviceOption, Format, FormatOption, RunArgument
from dltool.errors import Mistakes, UsageError, messages
from dltool.output import tables

if TYPE_CHECKING:
    import numpy as np

    from dltool.data.tokenizers.base import Tokenizer


def generate(
    run: RunArgument,
    prompt: Annotated[str, typer.Option("--prompt", help="The beginning of the text.")] = "",
    length: Annotated[
        int, typer.Option("--length", min=1, help="Tokens (characters, words or pieces) to write.")
    ] = 1000,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="Below 1 bolder, above 1 wilder; 0: the likeliest.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Draw from the K likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the fewest tokens that together reach probability P.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Equal seeds give equal texts.")] = 0,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Texts to write, drawn side by side.")] = 1,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Let a language model write: text on stdout, token by token.

    With --format csv or json, and with several samples, all is written at the end.
    """
    _check(temperature, top_k, top_p)
    from dltool.runs.language_model import LanguageModel

    model = LanguageModel(run, device)
    tokenizer = model.tokenizer
    parts = model.draw(
        model.encode_prompt(prompt),
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        samples=samples,
    )
    if form == Format.table and samples == 1:
        _stream(tokenizer, prompt, parts)
        return
    import numpy as np

    texts = [tokenizer.decode(row) for row in np.concatenate(list(parts), axis=1)]
    if form != Format.table:
        rows = [{"sample": number, "prompt": prompt, "text": text} for number, text in enumerate(texts, start=1)]
        messages.write_text(tables.render({"samples": tables.Rows.of(rows)}, form))
        return
    for number, text in enumerate((f"{prompt}{text}" for text in texts), start=1):
        end = "" if text.endswith("\n") else "\n"
        messages.write_text(f"--- sample {number} of {samples} ---\n{text}{end}")


def _check(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise for values that cannot work."""
    mistakes = Mistakes()
    with mistakes:
        if top_p is not None and not 0 < top_p <= 1:
            raise UsageError(f"--top-p {top_p:g}: must lie above 0, up to 1")
    with mistakes:
        if not (temperature >= 0 and math.isfinite(temperature)):
            raise UsageError(f"--temperature {temperature:g}: must be a finite number >= 0")
    for option, value in {"--top-k": top_k, "--top-p": top_p}.items():
        with mistakes:
            if temperature == 0 and value is not None:
                raise UsageError(f"{option} {value:g}: --temperature 0 takes the likeliest token. Remove one of them.")
    mistakes.finish()


def _stream(tokenizer: Tokenizer, prompt: str, parts: Iterator[np.ndarray]) -> None:
    """Write the prompt and the text after it as tokens come, a line's end last."""
    decoder = tokenizer.decoder()
    first = next(parts)  # nothing is written before the model has shown that it works
    text = prompt + decoder.add(first[0])
    messages.write_text(text)
    last = text[-1:]
    for part in parts:
        text = decoder.add(part[0])
        messages.write_text(text)
        last = text[-1:] or last
    rest = decoder.add([], last=True)
    messages.write_text(rest if (rest or last).endswith("\n") else f"{rest}\n")
