"""A session: a model, ready to run, shaped like onnxruntime's.

    session = eyas.Session("model.onnx", config="edge8x8", target="rtl")
    outputs = session.run(None, {"input": x})       # list of arrays
    session.counters["cycles"]                      # of this run
    session.intermediates["conv1_out"]              # tensors in memory, int8 (N, C, H, W)

    feed ─quantise─► int8 ─target: program on interpreter or RTL─► int8 ─dequantise─► outputs

The user's arrays have the model's own order: channels first in ONNX, channels last in TFLite. The
host quantises float inputs, runs a softmax at an output and dequantises float outputs, exactly as
the reference kernels do (host/conversion.py); all else runs on the target.
"""

from collections import Counter as Total
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eyas.compiler.compile import Model, compile_graph, load_graph
from eyas.compiler.ir import Graph, Port
from eyas.compiler.profile import with_profile
from eyas.compiler.program import Program
from eyas.compiler.program_file import load_program
from eyas.config import Config
from eyas.errors import ModelError
from eyas.host.batches import filled, runs
from eyas.host.conversion import from_int8, to_int8
from eyas.host.targets import GoldenTarget, NumpyTarget, RtlTarget, Target, Tensors
from eyas.registers import Counter

TARGETS = ("golden", "numpy", "rtl")
TYPES = {"float32": "tensor(float)", "int8": "tensor(int8)", "uint8": "tensor(uint8)"}
"""onnxruntime's names of the types."""


@dataclass(frozen=True)
class NodeArg:
    """An input or output as onnxruntime describes it."""

    name: str
    shape: list[int | str]
    type: str


class Session:
    """A model on a target.

    model: path of an .onnx, .tflite or .eyas file, bytes of an ONNX or TFLite file,
        onnx.ModelProto, Graph or Program.
    config: a preset, a .toml file or a Config.
    target: "golden" (interpreter), "numpy" (reference operators) or "rtl" (Verilated RTL).
    profile: whether `layer_counters` are wanted; the program then stores them behind each layer.
    batch: images that the program computes at a time, sharing filters; one, or those of a Graph,
        Program or .eyas file, unless given. `run` takes any number of them.
    intermediates: whether every tensor is to be among `intermediates`: fmaps that stay in the GLB
        from layer to layer are then stored as well, which takes the machine time.
    status: told in a line what takes time (compiling); nothing is printed otherwise.

    Raises ModelError for a model that is not supported, or a program that lacks intermediates that
    are asked for, and ConfigError for a model that the configuration cannot hold.
    """

    def __init__(
        self,
        model: Model | Program,
        config: str | Path | Config = "edge8x8",
        target: str = "golden",
        *,
        profile: bool = False,
        batch: int | None = None,
        intermediates: bool = False,
        status: Callable[[str], None] = lambda text: None,
    ):
        if target not in TARGETS:
            raise ModelError(f"no target {target!r}: give one of {', '.join(TARGETS)}")
        self.config = Config.load(config)
        self.program, self.graph = _load(model, self.config, batch, intermediates)
        if profile:
            self.program = with_profile(self.program)
        self._target = self._make_target(target, status)
        self.counters: dict[str, int] = {}
        """Hardware counters of the last run by lower-case name, summed over its batch."""
        self.intermediates: Tensors = {}
        """Tensors of the last run by name, int8 (N, C, H, W), also of a TFLite model: inputs,
        outputs and all others that the target has in memory; target "numpy" has every one."""
        self.layer_counters: list[dict[str, int]] = []
        """Each layer's share of `counters`, by `program.layers`; empty unless `profile` is set."""

    def _make_target(self, target: str, status: Callable[[str], None]) -> Target:
        if target == "numpy":
            if self.graph is None:
                raise ModelError(
                    f"{self.program.name}: target numpy needs the model itself, not an .eyas file"
                )
            return NumpyTarget(self.graph)
        if target == "rtl":
            return RtlTarget(self.program, self.config, status)
        return GoldenTarget(self.program, self.config)

    def get_inputs(self) -> list[NodeArg]:
        """The inputs, with name, shape (batch first) and type."""
        return [_describe(port) for port in self.program.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """The outputs, with name, shape (batch first) and type."""
        return [_describe(port) for port in self.program.outputs]

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]
    ) -> list[np.ndarray]:
        """The outputs named, or all of them for None, for the inputs in `input_feed`.

        Images run one after the other, or as many at a time as `batch` says. Raises ModelError,
        saying what is accepted, for a name, shape or type that the model does not have.
        """
        wanted = self._wanted(output_names)
        quantised = self._quantised(input_feed)
        counters: Total[str] = Total()
        layers = [Total() for _ in self.program.layers]
        steps: list[Tensors] = []
        batch = self.program.batch
        split = (list(runs(values, batch)) for values in quantised.values())
        for inputs in zip(*split, strict=True):
            given = (filled(values, batch) for values in inputs)
            tensors, counts = self._target.run(dict(zip(quantised, given, strict=True)))
            steps.append(_images(tensors, batch, len(inputs[0])))
            counters.update(_named(counts))
            for total, share in zip(layers, self._target.profile(), strict=False):
                total.update(_named(share))
        self.counters = dict(counters)
        self.layer_counters = [dict(total) for total in layers if total]
        self.intermediates = {name: np.concatenate([s[name] for s in steps]) for name in steps[0]}
        return [from_int8(port, self.intermediates[port.tensor]) for port in wanted]

    def _wanted(self, names: Sequence[str] | None) -> list[Port]:
        ports = {port.name: port for port in self.program.outputs}
        for name in names or ():
            if name not in ports:
                raise ModelError(
                    f"{self.program.name}: no output {name!r} (outputs: {', '.join(ports)})"
                )
        return [ports[name] for name in names] if names else list(ports.values())

    def _quantised(self, feed: Mapping[str, Any]) -> Tensors:
        """int8 (N, C, H, W) by tensor, from a feed that is checked."""
        model = self.program.name
        ports = {port.name: port for port in self.program.inputs}
        for name in feed:
            if name not in ports:
                raise ModelError(f"{model}: no input {name!r} (inputs: {', '.join(ports)})")
        values: Tensors = {}
        for name, port in ports.items():
            if name not in feed:
                raise ModelError(f"{model}: input {name} is missing from the feed")
            shape = self.program.tensor(port.tensor).shape
            values[port.tensor] = to_int8(port, feed[name], shape, model)
        if len({len(value) for value in values.values()}) > 1:
            raise ModelError(f"{model}: all inputs must have the same batch size")
        return values


def _images(tensors: Tensors, batch: int, count: int) -> Tensors:
    """What a run gave as (N, C, H, W), without images that were not asked for."""
    if batch == 1:
        return {name: values[None] for name, values in tensors.items()}
    return {name: values[:count] for name, values in tensors.items()}


def _named(counters: Mapping[Counter, int]) -> dict[str, int]:
    return {counter.name.lower(): count for counter, count in counters.items()}


def _describe(port: Port) -> NodeArg:
    return NodeArg(port.name, list(port.shape), TYPES[port.dtype])


def _load(
    model: Model | Program, config: Config, batch: int | None, intermediates: bool
) -> tuple[Program, Graph | None]:
    """The program, and the graph where it is made from one."""
    if isinstance(model, str | Path) and str(model).endswith(".eyas"):
        model = load_program(model)
    if not isinstance(model, Program):
        graph = load_graph(model, batch)
        return compile_graph(graph, config, intermediates=intermediates), graph
    model.check_config(config)
    if intermediates and model.unstored:
        raise ModelError(
            f"{model.name}: the program keeps {', '.join(model.unstored)} in the GLB and never "
            f"stores them; compile it again, with intermediates"
        )
    if batch not in (None, model.batch):
        raise ModelError(
            f"{model.name}: the program was made for batches of {model.batch}, not of {batch}; "
            f"compile it again"
        )
    return model, None
