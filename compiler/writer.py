"""From a graph to a program: maps every layer, places everything in memory, writes the commands.

graph ─► map_convolution ─► constants, tensors in memory
                                         └► items of each layer ─► Weaver ─► Schedule ─► Program
                                                (write_*.py)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from eyas.command import COMMAND_BYTES
from eyas.compiler.allocate import align, check_memory, place_regions, place_tensors
from eyas.compiler.batch import lay_out
from eyas.compiler.budget import Budget
from eyas.compiler.conv_shape import ConvShape
from eyas.compiler.cost import Estimate, estimate
from eyas.compiler.filters import FilterImage, filter_image
from eyas.compiler.fmap_place import FmapPlace
from eyas.compiler.ir import AveragePool, Convolution, Graph, Layer, MaxPool, Port
from eyas.compiler.keep import Keeper, Kept
from eyas.compiler.layer_entry import layer_entry
from eyas.compiler.limits import check
from eyas.compiler.mapper import map_convolution
from eyas.compiler.mapping import Mapping, Sizes
from eyas.compiler.program import LayerEntry, Program, ProgramTensor
from eyas.compiler.room import Room, rooms
from eyas.compiler.schedule import Ring, Schedule, end_command
from eyas.compiler.tokens import Tracker, check_tokens
from eyas.compiler.views import root
from eyas.compiler.weave import Weaver
from eyas.compiler.write_convolution import ConvolutionWriter
from eyas.compiler.write_pool import PoolWriter
from eyas.config import WORD_BYTES, Config
from eyas.errors import ConfigError, ModelError
from eyas.layout import pack_batch

MAX_LAYERS = 65535
"""Tags have 16 bits, and the last is the end of the program."""

Progress = Callable[[int, int, str], None]
"""Called with (layer number, layers, layer name) when a layer has been written."""


@dataclass(frozen=True)
class _MappedConvolution:
    layer: Convolution
    sizes: Sizes
    cost: Estimate
    image: FilterImage
    room: Room
    kept: Kept


def compile_graph(
    graph: Graph,
    config: Config,
    reuse_memory: bool = False,
    mappings: dict[str, Mapping] | None = None,
    progress: Progress | None = None,
    budget: Budget | None = None,
    intermediates: bool = True,
) -> Program:
    """The program that runs `graph` on a machine of `config`.

    With `reuse_memory`, tensors that are no longer needed make room for others; without it every
    intermediate tensor is there after a run. `mappings` overrides the mapper, by layer name.
    `budget`: of the whole machine; without it memory is as the configuration says. Without
    `intermediates`, fmaps that stay in the GLB are never in memory, and not among the tensors.

    Raises ConfigError, naming the layer, for what the configuration cannot hold, and ModelError
    for a graph that makes no sense.
    """
    if len(graph.layers) > MAX_LAYERS:
        raise ModelError(f"{graph.name}: has {len(graph.layers)} layers, of {MAX_LAYERS} at most")
    given = mappings or {}

    def score(number: int, room: Room, kept: Kept) -> float:
        layer = graph.layers[number]
        if not isinstance(layer, Convolution):
            return 0.0
        conv = _conv_shape(graph, layer, config, kept)
        return choose(conv, config, room.budget, given.get(layer.name))[1].score

    for layer in graph.layers:
        _check_layer(graph, layer, config)
    keeper = Keeper(graph, rooms(graph, config, budget or Budget.of(config)), score)
    mapped = [
        _mapped(graph, layer, config, keeper.room(n), keeper.kept(n, intermediates), given)
        for n, layer in enumerate(graph.layers)
    ]
    images = [m.image.data if isinstance(m, _MappedConvolution) else None for m in mapped]
    starts, end = place_regions([0 if image is None else len(image) for image in images])
    unseen = set() if intermediates else set(keeper.starts)
    tensors, end = place_tensors(graph, end, reuse_memory, unseen)
    check_memory(graph.name, end)
    tracker = Tracker(config.glb.fmap_words, config.glb.filter_words, end // WORD_BYTES)
    schedule = Schedule(tracker, config.control.queue_depth)
    ring = Ring(0, config.glb.filter_words)
    entries: list[LayerEntry] = []

    weaver = Weaver(tracker.sizes)
    for number, (layer, what) in enumerate(zip(graph.layers, mapped, strict=True)):
        fmaps = [
            FmapPlace.of(graph, name, tensors.get(root(graph, name), 0) // WORD_BYTES)
            for name in (layer.input, layer.output, *layer.inputs[1:])
        ]
        constants = starts[number] // WORD_BYTES
        writer = _writer(number, what, config, fmaps, constants, ring)
        entries.append(layer_entry(writer))
        if isinstance(writer, PoolWriter):
            weaver.add(writer.items(weaver.made), writer.room.beside)
        else:
            weaver.add(writer.items(), beside=False)
        if progress:
            progress(number, len(graph.layers), layer.name)
    schedule.run(weaver.order())
    tracker.commands.append(end_command())
    check_tokens(tracker.commands)
    program_address = align(end)
    memory_bytes = align(program_address + len(tracker.commands) * COMMAND_BYTES)
    check_memory(graph.name, memory_bytes)
    return Program(
        graph.name,
        config.name,
        config.hash,
        memory_bytes,
        program_address,
        tracker.commands,
        [
            *(
                (address, image.tobytes())
                for address, image in zip(starts, images, strict=True)
                if image is not None
            ),
            *((tensors[name], _constant(graph, v)) for name, v in graph.constants.items()),
        ],
        _program_tensors(graph, tensors),
        graph.input_ports or [_port(graph, name) for name in graph.inputs],
        graph.output_ports or [_port(graph, name) for name in graph.outputs],
        entries,
        np.array([*schedule.places, (-1, 0, 0, 0)], np.int32),
        list(graph.host_steps),
    )


def _check_layer(graph: Graph, layer: Layer, config: Config) -> None:
    shape = _tensor_shape(graph, layer, layer.input)
    ofmap = layer.output_shape(shape)
    if min(ofmap) >= 1 and ofmap != tuple(_tensor_shape(graph, layer, layer.output)):
        raise ModelError(
            f"layer {layer.name}: makes {ofmap}, but tensor {layer.output} is "
            f"{graph.tensors[layer.output].shape}"
        )
    if isinstance(layer, AveragePool):
        raise ModelError(
            f"layer {layer.name}: an average pool of {layer.input} runs as convolutions only; "
            f"compiler.passes.run_passes makes them"
        )
    if isinstance(layer, Convolution):
        _check_merge(graph, layer, _places(graph, layer), config)


def _places(graph: Graph, layer: Layer) -> list[FmapPlace]:
    return [FmapPlace.of(graph, name) for name in (layer.input, layer.output, *layer.inputs[1:])]


def _mapped(
    graph: Graph,
    layer: Layer,
    config: Config,
    room: Room,
    kept: Kept,
    mappings: dict[str, Mapping],
) -> "_MappedConvolution | PoolWriter":
    if isinstance(layer, MaxPool):
        shape = _tensor_shape(graph, layer, layer.input)
        return PoolWriter(0, layer, shape, config, *_places(graph, layer), room=room)
    assert isinstance(layer, Convolution)
    conv = _conv_shape(graph, layer, config, kept)
    mapping, cost = choose(conv, config, room.budget, mappings.get(layer.name))
    sizes = Sizes(conv, mapping)
    image = filter_image(layer, sizes)
    return _MappedConvolution(layer, sizes, cost, image, room, kept.seen_by(conv))


def _conv_shape(graph: Graph, layer: Convolution, config: Config, kept: Kept) -> ConvShape:
    """The shape of a layer on the batch, with the fmaps that stay in the GLB, wherever they lie."""
    places = _places(graph, layer)
    one = ConvShape.of(layer, graph.tensors[layer.input].shape, *places[:2])
    shape = lay_out(one, graph.batch, places[0], places[1:])
    kept = kept.seen_by(shape).unplaced()
    return replace(shape, kept_ifmap=kept.ifmap, kept_ofmap=kept.ofmap)


def _check_merge(graph: Graph, layer: Convolution, places: list[FmapPlace], config: Config) -> None:
    if layer.merge is None:
        return
    where, operand = f"layer {layer.name}", layer.merge.operand
    if not config.ppu.merge:
        raise ConfigError(f"{where}: it joins {operand} to its ofmap, and ppu.merge is false")
    shapes = _tensor_shape(graph, layer, operand), _tensor_shape(graph, layer, layer.output)
    if shapes[0] != shapes[1]:
        raise ModelError(f"{where}: operand {operand} is {shapes[0]}, but the ofmap {shapes[1]}")
    if places[1].lane != places[2].lane:
        raise ModelError(
            f"{where}: operand {operand} begins at lane {places[2].lane} of its words, but "
            f"{layer.output} at lane {places[1].lane}; their channels must begin at the same lane"
        )


def choose(
    shape: ConvShape, config: Config, budget: Budget, mapping: Mapping | None
) -> tuple[Mapping, Estimate]:
    """A given mapping, if it fits, or else the mapper's."""
    if mapping is None:
        return map_convolution(shape, config, budget)
    check(Sizes(shape, mapping), config, budget)
    return mapping, estimate(Sizes(shape, mapping), config, budget)


def _tensor_shape(graph: Graph, layer: Layer, name: str) -> tuple[int, int, int]:
    if name not in graph.tensors:
        raise ModelError(f"layer {layer.name}: there is no tensor {name}")
    return graph.tensors[name].shape


def _writer(
    number: int,
    mapped: "_MappedConvolution | PoolWriter",
    config: Config,
    places: list[FmapPlace],
    constants: int,
    ring: Ring,
) -> ConvolutionWriter | PoolWriter:
    if isinstance(mapped, PoolWriter):
        layer, shape = mapped.layer, mapped.shape
        return PoolWriter(number, layer, shape, config, *places, room=mapped.room)
    layer, sizes, image = mapped.layer, mapped.sizes, mapped.image
    ifmap, ofmap, operand = [*places, None][:3]
    return ConvolutionWriter(
        number, layer, sizes, mapped.cost, config, ifmap, ofmap, operand, constants, image, ring,
        mapped.room, mapped.kept,
    )  # fmt: skip


def _constant(graph: Graph, values: np.ndarray) -> bytes:
    """A constant (C, H, W) as it lies in memory: once for each image of the batch."""
    return pack_batch(np.broadcast_to(values, (graph.batch, *values.shape))).tobytes()


def _program_tensors(graph: Graph, addresses: dict[str, int]) -> dict[str, ProgramTensor]:
    out = {}
    for name, tensor in graph.tensors.items():
        if root(graph, name) not in addresses:
            continue
        out[name] = ProgramTensor(
            name,
            addresses[root(graph, name)],
            tensor.shape,
            float(tensor.scale),
            int(tensor.zero_point),
            view=tensor.view,
            batch=graph.batch,
        )
    return out


def _port(graph: Graph, name: str) -> Port:
    tensor = graph.tensors[name]
    shape = (1, *tensor.shape)
    return Port(name, name, "int8", shape, float(tensor.scale), int(tensor.zero_point))
