"""`make demo`: handwritten digits through the RTL, compared byte for byte.

    digits.npz ─┬─► RTL            some digits: every tensor ─┐
                ├─► interpreter    all digits                ─┼─ equal? ─► last line, exit code
                ├─► NumPy          the same as the RTL       ─┤
                └─► onnxruntime    all digits                ─┘

The last line is `bit-exact: K/K bytes equal (RTL = interpreter = NumPy), M/M equal to onnxruntime`:
K counts the bytes of all tensors of all digits that ran through the RTL, M those of them that
onnxruntime gives. Each of these digits runs twice: with all tensors stored, and as a user would run
it, with fmaps that stay in the GLB; the cycles are those of the second run, and where its tensors
differ from the first one's they count as wrong. The exit code is 1 where any byte or any score
differs.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from eyas.compiler.program import Program
from eyas.config import Config
from eyas.demo.art import sheet
from eyas.demo.compare import Comparison, Layers
from eyas.demo.reference import Reference
from eyas.errors import EyasError
from eyas.host.session import Session

FOLDER = Path(__file__).resolve().parent
MODEL = FOLDER / "digits.onnx"
CHUNK = 25
"""Digits that the interpreter takes at a time."""
COLUMNS = 5


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 28, 28), and labels."""
    with np.load(FOLDER / "digits.npz") as data:
        return data["images"], data["labels"]


def network_input(images: np.ndarray) -> np.ndarray:
    """The images as the network takes them, float32 (N, 1, 28, 28) from 0 to 1."""
    return (images.astype(np.float32) / np.float32(255))[:, None]


@click.command()
@click.option("--digits", default=20, show_default=True, help="Digits that run through the RTL.")
@click.option("--held-back", default=500, show_default=True, help="Digits for the accuracy.")
@click.option("--config", default="edge8x8", show_default=True, help="Preset or .toml file.")
def main(digits: int, held_back: int, config: str) -> None:
    """Runs the demo."""
    console = Console(highlight=False)
    try:
        sys.exit(0 if run(console, Config.load(config), digits, held_back) else 1)
    except EyasError as error:
        console.print(f"error: {error}", style="bold red", markup=False)
        sys.exit(1)


def run(console: Console, config: Config, digits: int, held_back: int) -> bool:
    """The whole demo. Says whether everything was equal."""
    images, labels = (part[:held_back] for part in load_digits())
    array = config.array
    console.print(f"Eyas {config.name}, {array.rows}×{array.cols} PEs, runs {MODEL.name}")
    with console.status("compiling the model …") as status:
        rtl, lean = (
            Session(
                MODEL,
                config,
                "rtl",
                profile=True,
                intermediates=intermediates,
                status=lambda text: status.update(f"{text} …"),
            )
            for intermediates in (True, False)
        )
    reference = Reference(MODEL, rtl.program.tensors)
    comparison = compare(console, rtl, lean, reference, images[:digits], labels)
    golden = golden_scores(console, lean.program, config, images)
    expected = reference.run({"image": network_input(images)})["scores"]
    for name, scores in (("interpreter", golden), ("onnxruntime", expected)):
        right = int(np.count_nonzero(scores.argmax(axis=1) == labels))
        console.print(f"accuracy, {name}: {right}/{len(labels)} = {right / len(labels):.1%}")
    same = np.array_equal(golden, expected)
    if not same:
        console.print("the scores of interpreter and onnxruntime differ", style="bold red")
    console.print(str(comparison), soft_wrap=True)
    return comparison.holds and same


def compare(
    console: Console,
    rtl: Session,
    lean: Session,
    reference: Reference,
    images: np.ndarray,
    labels: np.ndarray,
) -> Comparison:
    """Runs digits one by one on all levels; shows them, what the RTL says, and its cycles.

    rtl stores every tensor, lean those that do not stay in the GLB.
    """
    assert rtl.graph is not None
    golden = Session(rtl.program, rtl.config)
    plain = Session(rtl.graph, rtl.config, "numpy")
    comparison, layers, captions = Comparison(), Layers(lean.program), []
    with Progress(console=console, transient=True) as progress:
        for image, label in zip(
            progress.track(images, description="digits through the RTL"), labels, strict=False
        ):
            feed = {"image": network_input(image[None])}
            scores = lean.run(None, feed)[0]
            for session in (rtl, golden, plain):
                session.run(None, feed)
            again = rtl.intermediates | lean.intermediates
            levels = (again, golden.intermediates, plain.intermediates)
            comparison.add(rtl.intermediates, levels, reference.run(feed))
            layers.add(lean)
            said = int(scores.argmax())
            captions.append(f"{said} ({label}) {'✓' if said == label else '✗'}")
    console.print("\nThe RTL's prediction, and in brackets the label:\n")
    console.print(sheet(images, captions, COLUMNS), markup=False)
    console.print(layers.table(rtl.config))
    return comparison


def golden_scores(
    console: Console, program: Program, config: Config, images: np.ndarray
) -> np.ndarray:
    """Scores of all digits by the interpreter, on all processors."""
    chunks = [images[n : n + CHUNK] for n in range(0, len(images), CHUNK)]
    scores = []
    with (
        Progress(console=console, transient=True) as progress,
        ProcessPoolExecutor(
            min(os.cpu_count() or 1, len(chunks)),
            get_context("spawn"),
            _start_worker,
            (program, config),
        ) as pool,
    ):
        task = progress.add_task(f"{len(images)} digits, interpreter", total=len(images))
        for chunk in pool.map(_work, chunks):
            scores.append(chunk)
            progress.advance(task, len(chunk))
    return np.concatenate(scores)


def _start_worker(program: Program, config: Config) -> None:
    global _session
    _session = Session(program, config)


def _work(images: np.ndarray) -> np.ndarray:
    return _session.run(None, {"image": network_input(images)})[0]


if __name__ == "__main__":
    main()
