"""Measures a network on a machine: how `eyas bench` comes to its figures.

    NETWORKS ─► graph ─┬─ useful MACs of its layers ───────────────────┐
                       └─► passes ─► program with snapshots ─► engine ─┴─► records, total

A network is compiled and run as one program, on random ifmaps: cycles depend on shapes alone. In
RTL, every tensor that ends in memory is compared with the reference arithmetic (sim/golden.py).
How a run is shared out among layers that overlap: eyas.sim.bench_shares.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from eyas.compiler.activation import is_identity, only_merges, only_pads
from eyas.compiler.budget import Budget
from eyas.compiler.compile import compile_model
from eyas.compiler.ir import Convolution, Graph
from eyas.compiler.passes import run_passes
from eyas.compiler.profile import with_profile
from eyas.compiler.program import LayerEntry, Program
from eyas.config import Config
from eyas.errors import ConfigError
from eyas.registers import Counter
from eyas.sim.bench_record import Record, layer_record, total_record
from eyas.sim.bench_shares import layer_shares
from eyas.sim.golden import run_graph
from eyas.sim.memory_timing import MemoryTiming
from eyas.sim.networks import NETWORKS
from eyas.sim.program_run import Mismatch, ProgramRunner
from eyas.sim.timing_model import predict

if TYPE_CHECKING:
    from typing_extensions import Self

STANDARD = tuple(name for name in NETWORKS if name != "vgg16_conv3_to_5")
"""The networks that are measured where none is named."""
ENGINES = ("model", "rtl")


class Reporter(Protocol):
    """Who is told how far things are; eyas.commands.output.Progress is one."""

    def status(self, text: str) -> None: ...


class _Silent:
    def status(self, text: str) -> None:
        pass


@dataclass(frozen=True)
class Measurement:
    """A measured network."""

    network: str
    config: Config
    timing: MemoryTiming
    engine: str
    entries: list[LayerEntry]
    """Of the compiler's table, for each of `layers`."""
    layers: list[Record]
    total: Record
    seconds: float
    """That the engine took, without compiling."""
    tensors: int = 0
    """Compared with the reference arithmetic; none by the timing model, which has no data."""
    differences: Mapping[str, Mismatch] = field(default_factory=dict)
    """By name of the tensor."""

    @property
    def records(self) -> list[Record]:
        """The objects of the JSON list."""
        return [*self.layers, self.total]

    @property
    def bytes_per_cycle(self) -> float:
        """What memory and its bus carry at most."""
        return min(self.timing.bytes_per_cycle, self.config.memory.bus_bytes)


class _Run(NamedTuple):
    profile: list[dict[Counter, int]]
    counters: dict[Counter, int]
    seconds: float
    tensors: int = 0
    differences: Mapping[str, Mismatch] = MappingProxyType({})


class Bench:
    """Measures networks on one machine: the simulator is compiled once.

    timing: of the memory. engine: "rtl", or "model" for the timing model. reporter: told what goes
    on; it may be another one for each network. Raises ConfigError for a machine without counters.
    """

    def __init__(
        self,
        config: Config,
        timing: MemoryTiming | None = None,
        engine: str = "rtl",
        reporter: Reporter | None = None,
    ):
        if not config.control.counter_width:
            raise ConfigError("figures come from the counters, and control.counter_width is 0")
        self.config, self.engine = config, engine
        self.timing = timing or MemoryTiming.of(config)
        self.reporter = _Silent() if reporter is None else reporter
        self._runner: ProgramRunner | None = None

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType
    ) -> None:
        if self._runner:
            self._runner.close()

    def measure(self, network: str, batch: int = 1) -> Measurement:
        """Compiles a network of NETWORKS for a batch and runs it."""
        self.reporter.status(f"{network}: making random filters")
        return self.measure_graph(NETWORKS[network](), batch)

    def measure_graph(self, graph: Graph, batch: int = 1) -> Measurement:
        """Compiles a graph, before any pass, for a batch and runs it."""
        program = with_profile(self._compiled(graph, batch))
        run = self._rtl(program, graph, batch) if self.engine == "rtl" else self._model(program)
        shares = layer_shares(program, run.profile, run.counters, self.config)
        macs = {name: batch * count for name, count in useful_macs(graph).items()}
        layers = [
            layer_record(graph.name, e.name, macs.get(e.name, 0), share, self.config, batch)
            for e, share in zip(program.layers, shares, strict=True)
        ]
        return Measurement(
            graph.name,
            self.config,
            self.timing,
            self.engine,
            program.layers,
            layers,
            total_record(layers, self.config),
            run.seconds,
            run.tensors,
            run.differences,
        )

    def _compiled(self, graph: Graph, batch: int) -> Program:
        def progress(number: int, layers: int, name: str) -> None:
            text = f"{graph.name}: compiling, layer {number + 1} of {layers}, {name}"
            self.reporter.status(text)

        self.reporter.status(f"{graph.name}: mapping layers")
        memory = self.timing.bytes_per_cycle, self.timing.latency_cycles
        budget = Budget.of(self.config, *memory)
        return compile_model(
            graph, self.config, batch, progress=progress, budget=budget, intermediates=False
        )

    def _rtl(self, program: Program, graph: Graph, batch: int) -> _Run:
        """Runs a program in RTL, and compares what it leaves in memory."""
        self._runner = self._runner or ProgramRunner(
            self.config, status=lambda text: self.reporter.status(text)
        )
        rng = np.random.default_rng(1)
        inputs = {
            port.tensor: rng.integers(-128, 128, program.tensors[port.tensor].array_shape, np.int8)
            for port in program.inputs
        }
        result = self._runner.run(
            program, inputs, timing=self.timing, progress=self._progress(program, "simulating")
        )
        self.reporter.status(f"{program.name}: comparing with the reference")
        whole = replace(run_passes(graph), batch=batch)
        different = result.mismatches(run_graph(whole, inputs))
        counters, seconds = result.run.counters, result.run.seconds
        return _Run(result.profile, counters, seconds, len(result.tensors), different)

    def _model(self, program: Program) -> _Run:
        """As `_rtl`, by the timing model."""
        progress = self._progress(program, "predicting")
        result = predict(program, self.config, self.timing, progress=progress)
        return _Run(result.profile, result.counters, result.seconds)

    def _progress(self, program: Program, verb: str) -> Callable[[int], None]:
        predicted = program.predicted_cycles

        def progress(cycles: int) -> None:
            text = f"{program.name}: {verb}, {cycles:,} of some {predicted:,} cycles"
            self.reporter.status(text)

        return progress


def useful_macs(graph: Graph) -> dict[str, int]:
    """M * C/G * R * S * E * F of each convolution by name, for one image; `graph` is as imported.

    Elementwise layers, which are convolutions to the compiler, have none.
    """
    found = {}
    for layer in graph.layers:
        if isinstance(layer, Convolution) and not any(
            test(layer) for test in (is_identity, only_merges, only_pads)
        ):
            _, e, f = layer.output_shape(graph.tensors[layer.input].shape)
            found[layer.name] = layer.filters.size * e * f
    return found
