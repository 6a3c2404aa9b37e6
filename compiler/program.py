"""A compiled program: commands, constants, and where every tensor lies in memory.

    program = compile_graph(graph, config)
    memory = program.memory_image()                       # uint8, ready to run but for the inputs
    program.write_tensor(memory, "ifmap", values)         # int8 (C, H, W), of a batch (N, C, H, W)
    Interpreter(config, memory).run(program.program_address, len(program.commands))
    program.read_tensor(memory, "ofmap")

A view has no memory of its own: its bytes are some of its parent's, in the parent's layout.

compiler/program_file.py keeps it in a file; docs/program-file.md says how.
"""

from dataclasses import dataclass, field

import numpy as np

from eyas.command import COMMAND_BYTES, Command
from eyas.compiler.ir import HostStep, Port, View
from eyas.compiler.views import region
from eyas.config import WORD_BYTES, Config
from eyas.errors import ModelError
from eyas.layout import fmap_words, pack_batch, unpack_batch


@dataclass(frozen=True)
class ProgramTensor:
    """A tensor in memory, channel-blocked; value = scale * (int8 - zero_point)."""

    name: str
    address: int
    shape: tuple[int, int, int]
    scale: float = 1.0
    zero_point: int = 0
    dtype: str = "int8"
    view: View | None = None
    """Of a tensor that lies inside of another one; `address` is then the parent's."""
    batch: int = 1
    """Images whose fmaps it holds."""

    @property
    def array_shape(self) -> tuple[int, ...]:
        """(C, H, W), or (N, C, H, W) of a batch of more than one image."""
        return self.shape if self.batch == 1 else (self.batch, *self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in memory of a tensor that is no view."""
        return self.batch * fmap_words(self.shape) * WORD_BYTES


@dataclass(frozen=True)
class LayerEntry:
    """A line of the table of layers; `tag` is that of the layer's commands."""

    tag: int
    name: str
    kind: str
    shape: str
    mapping: str
    runs_on: str
    """Unit of the machine: "array" or "vector unit"."""
    predicted_cycles: int
    bound: str
    """What the prediction says the layer waits for."""
    macs: int
    output: str
    """The tensor that the layer makes."""


@dataclass(frozen=True)
class Place:
    """What a command belongs to; the numbers count tiles, filter groups and segments of a layer."""

    layer: LayerEntry | None
    tile: int
    group: int
    segment: int

    def __str__(self) -> str:
        if self.layer is None:
            return "end of program"
        return (
            f"layer {self.layer.name}, tile {self.tile}, filter group {self.group}, "
            f"segment {self.segment}"
        )


@dataclass
class Program:
    """Everything that a machine of one configuration needs to run a network."""

    name: str
    config_name: str
    config_hash: int
    memory_bytes: int
    program_address: int
    commands: list[Command]
    constants: list[tuple[int, bytes]]
    tensors: dict[str, ProgramTensor]
    inputs: list[Port]
    outputs: list[Port]
    layers: list[LayerEntry]
    places: np.ndarray = field(repr=False)
    """int32 (commands, 4): layer, tile, filter group, segment of each command; layer -1 for END."""
    host_steps: list[HostStep] = field(default_factory=list)
    """What the host runs before and behind the commands; the ports say how."""

    @property
    def batch(self) -> int:
        """Images that a run computes."""
        return max((tensor.batch for tensor in self.tensors.values()), default=1)

    def memory_image(self) -> np.ndarray:
        """Memory as the machine wants it before a run, uint8; inputs are zero."""
        memory = np.zeros(self.memory_bytes, np.uint8)
        for address, data in (*self.constants, (self.program_address, self.encoded_commands())):
            memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
        return memory

    def encoded_commands(self) -> bytes:
        """The commands' bytes, COMMAND_BYTES each."""
        return b"".join(command.encode() for command in self.commands)

    @property
    def program_bytes(self) -> int:
        return len(self.commands) * COMMAND_BYTES

    @property
    def predicted_cycles(self) -> int:
        return sum(layer.predicted_cycles for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def unstored(self) -> list[str]:
        """Tensors that stay in the GLB: layers make them, but they are never in memory."""
        made = dict.fromkeys(layer.output for layer in self.layers)
        return [name for name in made if name not in self.tensors]

    def tensor(self, name: str) -> ProgramTensor:
        """A tensor by name. Raises ModelError if there is none."""
        if name not in self.tensors:
            raise ModelError(f"{self.name}: no tensor {name}; there are {', '.join(self.tensors)}")
        return self.tensors[name]

    def write_tensor(self, memory: np.ndarray, name: str, values: np.ndarray) -> None:
        """Puts an int8 tensor into memory: (C, H, W), or of a batch (N, C, H, W).

        Raises ModelError for any other, or a view.
        """
        tensor = self.tensor(name)
        if tensor.view is not None:
            raise ModelError(
                f"{self.name}: tensor {name} is a part of {tensor.view.parent}: write that one"
            )
        if values.dtype != np.int8 or values.shape != tensor.array_shape:
            raise ModelError(
                f"{self.name}: tensor {name} must be int8 of shape {tensor.array_shape}, "
                f"not {values.dtype} of shape {values.shape}"
            )
        words = pack_batch(values.reshape(tensor.batch, *tensor.shape))
        memory[tensor.address : tensor.address + tensor.nbytes] = words.reshape(-1)

    def read_tensor(self, memory: np.ndarray, name: str) -> np.ndarray:
        """An int8 tensor from memory: (C, H, W), or of a batch (N, C, H, W)."""
        tensor = self.tensor(name)
        root = tensor if tensor.view is None else self.tensor(tensor.view.parent)
        words = memory[root.address : root.address + root.nbytes]
        values = unpack_batch(words, root.batch, root.shape)
        if tensor.view is not None:
            values = np.ascontiguousarray(region(values, tensor.view, tensor.shape))
        return values.reshape(tensor.array_shape)

    def place(self, command: int) -> Place:
        """The layer, tile, filter group and segment that a command, by index, belongs to."""
        layer, tile, group, segment = (int(n) for n in self.places[command])
        return Place(self.layers[layer] if layer >= 0 else None, tile, group, segment)

    def check_config(self, config: Config) -> None:
        """Raises ModelError unless `config` runs the same programs."""
        if config.hash != self.config_hash:
            raise ModelError(
                f"{self.name}: the program was made for configuration {self.config_name} "
                f"({self.config_hash:08x}), not for {config.name} ({config.hash:08x}); "
                f"compile it again"
            )
