"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from eyas.config import Config
    from eyas.sim.simulator import MemoryTiming

config_option = click.option(
    "--config",
    default="edge8x8",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="The accelerator: a preset (see `eyas configs`) or a TOML file.",
)

input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="FILE",
    help="Inputs: .npy, .npz by name, or .png. Several files make a batch.",
)

batch_option = click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images that a program computes at a time, sharing filters. [default: 1, or the file's]",
)

intermediates_option = click.option(
    "--intermediates",
    is_flag=True,
    help="Store every tensor, also those that could stay in the GLB from layer to layer.",
)

waves_option = click.option(
    "--waves", metavar="FILE", help="Write waves, .fst or .vcd, for GTKWave or Surfer."
)

_MEMORY_SPEED_OPTIONS = (
    click.option(
        "--memory-bytes-per-cycle",
        type=click.FloatRange(min=0, min_open=True),
        metavar="X",
        help="Memory traffic per cycle, reads and writes together. [default: the bus width]",
    ),
    click.option(
        "--memory-latency",
        type=click.IntRange(min=0),
        metavar="N",
        help="Cycles from a read's address to its data. [default: of the configuration]",
    ),
)
_MEMORY_OPTIONS = (
    *_MEMORY_SPEED_OPTIONS,
    click.option(
        "--back-pressure",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        metavar="P",
        help="Probability that a memory channel pauses in a cycle. [default: 0]",
    ),
    click.option("--seed", type=int, default=0, metavar="N", help="Of everything random."),
)


def output_path(output: str) -> Path:
    """A file that a command will write. Raises UsageError, before any work, if it cannot be."""
    path = Path(output)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise click.UsageError(f"{path}: cannot be written, {what}")
    return path


def memory_options(command: Any) -> Any:
    """Adds the options of the simulated memory; see `memory_timing`."""
    for option in reversed(_MEMORY_OPTIONS):
        command = option(command)
    return command


def memory_speed_options(command: Any) -> Any:
    """Adds those of `memory_options` that say how fast a memory without pauses is."""
    for option in reversed(_MEMORY_SPEED_OPTIONS):
        command = option(command)
    return command


def memory_timing(
    config: "Config",
    memory_bytes_per_cycle: float | None,
    memory_latency: int | None,
    back_pressure: float,
    seed: int,
) -> "MemoryTiming":
    """The timing that the options of `memory_options` ask for."""
    from dataclasses import replace

    from eyas.sim.simulator import MemoryTiming

    timing = replace(MemoryTiming.of(config), stall=back_pressure, seed=seed)
    if memory_bytes_per_cycle is not None:
        timing = replace(timing, bytes_per_cycle=memory_bytes_per_cycle)
    if memory_latency is not None:
        timing = replace(timing, latency_cycles=memory_latency)
    return timing
