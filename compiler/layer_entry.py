"""The line of a written layer in the table of layers: what it is called, and what it will take."""

import numpy as np

from eyas.command import MergeOp
from eyas.compiler.activation import is_identity, only_merges
from eyas.compiler.ir import Convolution
from eyas.compiler.program import LayerEntry
from eyas.compiler.write_convolution import ConvolutionWriter
from eyas.compiler.write_pool import PoolWriter

MERGE_NAMES = {MergeOp.ADD: "add", MergeOp.MULTIPLY: "multiply", MergeOp.PRELU: "prelu"}


def layer_entry(writer: ConvolutionWriter | PoolWriter) -> LayerEntry:
    """The entry of a layer with its mapping and prediction."""
    return _pool(writer) if isinstance(writer, PoolWriter) else _convolution(writer)


def _pool(writer: PoolWriter) -> LayerEntry:
    layer, (c, h, w) = writer.layer, writer.shape
    size = f"{c}×{h}×{w} → {c}×{writer.cut.e}×{writer.cut.f}, {layer.window[0]}×{layer.window[1]}"
    images = f", {writer.ifmap.images} images" if writer.ifmap.images > 1 else ""
    return LayerEntry(
        writer.number,
        layer.name,
        "max pool",
        f"{size}/{layer.stride[0]}{images}",
        str(writer.tiling),
        "vector unit",
        writer.predicted_cycles,
        "vector unit",
        0,
        layer.output,
    )


def _convolution(writer: ConvolutionWriter) -> LayerEntry:
    shape, cost = writer.sizes.shape, writer.cost
    return LayerEntry(
        writer.number,
        shape.name,
        convolution_kind(writer.layer, shape.ifmap_size),
        str(shape),
        str(writer.sizes.mapping),
        "array",
        cost.cycles,
        cost.bound,
        shape.macs,
        writer.layer.output,
    )


def convolution_kind(layer: Convolution, ifmap: tuple[int, int]) -> str:
    """What a layer is in the model's words; `ifmap` is its height and width.

    What changes nothing before its merge or table is named after these.
    """
    merge = MERGE_NAMES[layer.merge.op] if layer.merge else ""
    if only_merges(layer):
        return merge
    if is_identity(layer):
        return "elementwise"
    kind = "convolution"
    if layer.groups > 1 and layer.groups == layer.filters.shape[0] and layer.filters.shape[1] == 1:
        averages = layer.filters[0].size > 1 and np.ptp(layer.filters) == 0
        kind = "average pool" if averages else "depthwise convolution"
    elif layer.filters.shape[2:] == ifmap and not any(layer.padding):
        kind = "fully connected"
    return f"{kind}, {merge}" if merge else kind
