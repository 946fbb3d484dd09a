"""The commands eval, generate, score and translate, until their bodies have found their rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import BatchSizeOption, Device, DeviceOption, Format, FormatOption, OverwriteOption
from dltool.errors import UsageError, messages


def eval(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run directories; several are also averaged.", autocompletion=completion.runs
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option("--split", help="train, validation, test or all. Default: test where there is one."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Other data than the run's: 'Csv: {path: new.csv, target: y}'."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            help="A condition on every row, 'accuracy>=0.97', or their average, 'mean:accuracy>=0.97'; else status 3.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Write a CSV row an example: its file or row, target, prediction and probabilities by class name; "
            "of several runs, their average's.",
        ),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="With --format csv: figures of each class in place of the scores."),
    ] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Add the confusion matrix; alone in CSV.")] = False,
    overwrite: OverwriteOption = False,
    batch_size: BatchSizeOption = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Evaluate runs: loss and metrics, figures a class, confusion; several runs also averaged."""
    from dltool.cli import eval as command

    command.run(
        runs,
        split=split,
        data=data,
        require=require or [],
        predictions=predictions,
        per_class=per_class,
        confusion=confusion,
        overwrite=overwrite,
        batch_size=batch_size,
        form=form,
        device=device,
        write=messages.write,
        say=messages.say,
    )


def generate(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="The run directory of a language model.", autocompletion=completion.runs),
    ],
    prompt: Annotated[str, typer.Option("--prompt", help="The beginning of the text.")] = "",
    length: Annotated[
        int,
        typer.Option("--length", min=1, help="Tokens (characters, words or pieces) to write."),
    ] = 1000,
    temperature: Annotated[
        float,
        typer.Option("--temperature", min=0, help="Below 1 bolder, above 1 wilder; 0: the likeliest."),
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Draw from the K likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the fewest tokens that together reach probability P.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=2**31 - 1, help="Equal seeds give equal texts."),
    ] = 0,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Texts to write, drawn side by side.")] = 1,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Let a language model write: text on stdout as it is drawn.

    With --format csv or json, and with several samples, all is written at the end.
    """
    from dltool.cli import generate as command

    sampling = command.Sampling(length, temperature, top_k, top_p, seed, samples)
    command.run(run, prompt=prompt, sampling=sampling, form=form, device=device, write=messages.write_text)


def score(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="The run directory of a language model.", autocompletion=completion.runs),
    ],
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text, plain or .gz; - reads standard input.")] = "-",
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Score a text by a language model: nats and bits a character, perplexity a token."""
    from dltool.cli import generate as command

    command.score(run, file, form=form, device=device, write=messages.write)


def translate(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [TEXT]",
            help="Run directories, which decode together; then perhaps a text.",
            autocompletion=completion.runs,
        ),
    ],
    to: Annotated[str | None, typer.Option("--to", metavar="LANG", help="The language, of runs of several.")] = None,
    input_: Annotated[
        Path | None, typer.Option("--input", "-i", help="Lines to translate, plain or .gz. Default: standard input.")
    ] = None,
    beam_size: Annotated[int, typer.Option("--beam-size", min=1, help="Hypotheses kept; 1 is greedy.")] = 5,
    length_penalty: Annotated[
        float, typer.Option("--length-penalty", min=0, help="0 prefers short translations, more prefers longer ones.")
    ] = 1.0,
    n_best: Annotated[
        int | None,
        typer.Option("--n-best", min=1, help="So many translations of each line, each after the line's number."),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Write each translation's score before it.")] = False,
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", min=1, help="Tokens of a translation.", show_default="twice the source's + 10"),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Lines that are searched together.")] = 128,
    replace_unknown: Annotated[
        bool, typer.Option("--replace-unknown", help="Copy unknown pieces from where attention lies.")
    ] = False,
    attention: Annotated[
        Path | None, typer.Option("--attention", metavar="DIR", help="Write each line's alignment: PNG and JSON.")
    ] = None,
    show_attention: Annotated[
        bool, typer.Option("--show-attention", help="Draw each line's alignment on stderr.")
    ] = False,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Right translations, a line each: BLEU and chrF on stderr.")
    ] = None,
    by_length: Annotated[
        bool, typer.Option("--by-length", help="With --reference: also by length of the source.")
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="With --reference: how figures are written.", show_default="table"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace alignments that dltool wrote.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Translate: a line on stdout for every line read, as they come.

    With --n-best or --scores columns are divided by tabs: line's number, score, translation.
    """
    from dltool.cli import translate as command

    mistakes: list[str] = []
    if reference is None:
        given = {"--by-length": by_length, "--format": form is not None}
        mistakes += [f"{name} needs --reference" for name, is_given in given.items() if is_given]
    if attention is None and overwrite:
        mistakes.append("--overwrite needs --attention")
    if mistakes:
        raise UsageError(*mistakes)
    judgement = None
    if reference is not None:
        judgement = command.Judgement(reference, by_length, form or Format.table)
    command.run(
        runs,
        to=to,
        input_=input_,
        search=command.Search(beam_size, length_penalty, n_best or 1, max_length, batch_size, replace_unknown),
        output=command.Output(scores, n_best is not None, attention, show_attention, overwrite),
        judgement=judgement,
        device=device,
        write=messages.write_text,
        say=messages.tell,
    )
