"""dltool generate: text from a language model, token by token, or images from a generator or Boltzmann machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dltool.cli.options import Device, DeviceOption, Format, FormatOption, OverwriteOption, RunArgument, take_fields
from dltool.errors import Mistakes, UsageError, messages
from dltool.output import tables
from dltool.output.files import check_target, output

if TYPE_CHECKING:
    import numpy as np

    from dltool.data.tokenizers.base import Tokenizer
    from dltool.runs.opened import OpenedRun
    from dltool.runs.sample_sheets import Drawing

LENGTH, TEMPERATURE = 1000, 1.0  # of text
CHAINS, ROWS, STEPS = 10, 5, 1000  # of images that a Boltzmann machine draws
SAMPLES, WALKS = 64, 8  # of images that a generator makes


@dataclass(frozen=True)
class TextOptions:
    """Options of text alone; None where they are not given."""

    prompt: Annotated[str | None, typer.Option("--prompt", help="The beginning of the text.")] = None
    length: Annotated[
        int | None,
        typer.Option("--length", min=1, help=f"Tokens (characters, words or pieces) to write. Default: {LENGTH}."),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", min=0, help=f"Below 1 bolder, above 1 wilder; 0: the likeliest. Default: {TEMPERATURE:g}."
        ),
    ] = None
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Draw from the K likeliest tokens.")] = None
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the fewest tokens that together reach probability P.")
    ] = None


@dataclass(frozen=True)
class ImageOptions:
    """Options of images alone; None where they are not given."""

    out: Annotated[Path | None, typer.Option("--out", "-o", help="The picture: FILE.png. Needed.")] = None


@dataclass(frozen=True)
class MachineOptions:
    """Options of Boltzmann machines alone; None where they are not given."""

    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help=f"Gibbs steps before each row of images. Default: {STEPS}.")
    ] = None
    rows: Annotated[int | None, typer.Option("--rows", min=1, help=f"Rows of images. Default: {ROWS}.")] = None


@dataclass(frozen=True)
class GeneratorOptions:
    """Options of generators alone; None where they are not given."""

    class_: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Make images of this class, if the generator is told classes."),
    ] = None
    walk: Annotated[
        int | None,
        typer.Option("--walk", min=2, help=f"Rows of images from one code to another; {WALKS} rows by default."),
    ] = None
    neighbours: Annotated[
        bool | None,
        typer.Option("--neighbours", help="Draw the nearest training image next to each sample.", show_default=False),
    ] = None


PANELS = {
    TextOptions: "Language models",
    ImageOptions: "Images",
    GeneratorOptions: "Images of generators",
    MachineOptions: "Images of Boltzmann machines",
}


def _panels() -> Mapping[str, str]:
    return {field.name: title for kind, title in PANELS.items() for field in fields(kind)}


@take_fields(_panels)
def generate(
    run: RunArgument,
    text: TextOptions = TextOptions(),
    image: ImageOptions = ImageOptions(),
    maker: GeneratorOptions = GeneratorOptions(),
    machine: MachineOptions = MachineOptions(),
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Equal seeds give equal results.")] = 0,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            help=f"Texts, images or chains of images. Default: 1, {SAMPLES} of a generator, {CHAINS} chains.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Let a language model write to stdout, token by token; or let a generator or an RBM draw images.

    Generators are those of adversarial training and the decoders of variational autoencoders.

    With --format csv or json, and with several samples, text is written at the end.
    """
    mistakes = Mistakes()
    with mistakes:
        check_target("--out", image.out, overwrite, [".png"])
    _check(text, mistakes)
    mistakes.finish()
    from dltool.data.tokenizers.base import Tokenizer
    from dltool.runs.opened import OpenedRun

    opened = OpenedRun(run)
    if isinstance(opened.vocabulary, Tokenizer):
        _refuse(f"{opened}: is a language model, which writes to stdout", image, maker, machine)
        _write_text(opened, text, seed, samples or 1, form, device)
        return
    draw = _drawer(opened, text, maker, machine, seed, samples, device)
    if image.out is None:
        raise UsageError(f"--out: {opened} draws images. Give a file: --out samples.png.")
    with output(image.out) as file:
        drawing = draw()
        file.write(drawing.file)
    messages.write(tables.render({drawing.name: tables.Rows.of(drawing.rows)}, form))


def _drawer(
    run: OpenedRun,
    text: TextOptions,
    maker: GeneratorOptions,
    machine: MachineOptions,
    seed: int,
    samples: int | None,
    device: Device,
) -> Callable[[], Drawing]:
    """Return what draws images of a run, once the options are those of its kind."""
    from dltool.runs import sample_sheets
    from dltool.runs.boltzmann_machine import BoltzmannMachine
    from dltool.runs.image_generator import ImageGenerator

    if (found := ImageGenerator.find(run, device)) is not None:
        _refuse(f"{run}: makes images of codes", text, machine)
        count = samples or (SAMPLES if maker.walk is None else WALKS)
        settings = (count, maker.class_, maker.walk, bool(maker.neighbours))
        return lambda: sample_sheets.draw_samples(found, seed, *settings)
    chains = BoltzmannMachine(run, device)
    _refuse(f"{run}: is a Boltzmann machine, which draws images", text, maker)
    return lambda: sample_sheets.draw_chains(
        chains, seed, samples or CHAINS, machine.rows or ROWS, machine.steps or STEPS
    )


def _check(text: TextOptions, mistakes: Mistakes) -> None:
    """Note values that cannot work."""
    with mistakes:
        if text.top_p is not None and not 0 < text.top_p <= 1:
            raise UsageError(f"--top-p {text.top_p:g}: must lie above 0, up to 1")
    with mistakes:
        if text.temperature is not None and not (text.temperature >= 0 and math.isfinite(text.temperature)):
            raise UsageError(f"--temperature {text.temperature:g}: must be a finite number >= 0")
    for option, value in {"--top-k": text.top_k, "--top-p": text.top_p}.items():
        with mistakes:
            if text.temperature == 0 and value is not None:
                raise UsageError(f"{option} {value:g}: --temperature 0 takes the likeliest token. Remove one of them.")


def _refuse(reason: str, *options: object) -> None:
    """Raise if options are given that mean nothing for the run."""
    values = {name: value for one in options for name, value in vars(one).items()}
    given = [f"--{name.strip('_').replace('_', '-')}" for name, value in values.items() if value is not None]
    if given:
        says, them = ("mean", "them") if len(given) > 1 else ("means", "it")
        raise UsageError(f"{', '.join(given)}: {says} nothing here: {reason}. Leave {them} out.")


# -- text ----------------------------------------------------------------------------------------------------


def _write_text(run: OpenedRun, options: TextOptions, seed: int, samples: int, form: Format, device: Device) -> None:
    from dltool.runs.language_model import LanguageModel

    prompt = options.prompt or ""
    model = LanguageModel(run, device)
    tokenizer = model.tokenizer
    parts = model.draw(
        model.encode_prompt(prompt),
        length=options.length or LENGTH,
        temperature=TEMPERATURE if options.temperature is None else options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
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
