"""Random graphs of every kind of layer, as a strategy of hypothesis."""

from graph_builder import SHAPE, GraphBuilder
from hypothesis import strategies as st

from eyas.command import MergeOp


@st.composite
def graphs(draw, shape=SHAPE, more=()):
    """About a dozen layers, each on some tensor that is there, with one to three outputs.

    shape: of the input. more: kinds of layers beside those of all tests.
    """
    b = GraphBuilder(draw(st.integers(0, 2**32 - 1)), shape)
    made = ["x"]
    kinds = ["conv", "conv", "conv", "table", "clamp", "merge", "merge", "pad", "max", "average",
             "concatenation", "slice", "row", "constant", *more]  # fmt: skip
    for _ in range(draw(st.integers(2, 12))):
        kind = draw(st.sampled_from(kinds))
        x = draw(st.sampled_from(made[-4:]))
        made += _layers(draw, b, kind, x, made)
    made.append(b.conv(draw(st.sampled_from(made[-2:]))))
    others = draw(st.lists(st.sampled_from(made[1:]), max_size=2))
    return b.finish(*dict.fromkeys([made[-1], *others]))


def _layers(draw, b, kind, x, made):
    """Adds layers of a kind that read x; the new tensors that others may read."""
    shape = b.shape(x)
    c, h, w = shape
    if kind == "conv":
        size = draw(st.integers(1, min(3, h, w)))
        return [b.conv(x, draw(st.integers(1, 5)), size, padding=draw(st.integers(0, 2)))]
    if kind == "depthwise":
        return [b.depthwise(x, 3, padding=1)]
    if kind == "stride":
        return [b.conv(x, draw(st.integers(3, 9)), stride=2)]
    if kind == "table":
        return [b.table(x)]
    if kind == "clamp":
        return [b.clamp(x)]
    if kind in ("merge", "constant"):
        fitting = [name for name in made if b.shape(name) == shape]
        other = b.constant(shape) if kind == "constant" else draw(st.sampled_from(fitting))
        op = draw(st.sampled_from([MergeOp.ADD, MergeOp.MULTIPLY, MergeOp.PRELU]))
        side = b.conv(x, c) if draw(st.booleans()) else x
        side = b.table(side) if draw(st.booleans()) else side
        pair = (side, other) if op == MergeOp.PRELU or draw(st.booleans()) else (other, side)
        return [side, b.merge(op, *pair)] if draw(st.booleans()) else [b.merge(op, *pair)]
    if kind == "pad":
        padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
        padded = b.pad(x, padding, draw(st.sampled_from([-3, 4])))
        return [padded] if draw(st.booleans()) else [b.conv(padded, 3)]
    if kind == "max":
        return [b.max_pool(x)] if min(h, w) > 1 else []
    if kind == "average":
        size = draw(st.integers(1, 3))
        padding = draw(st.integers(0, size - 1))
        return [b.average_pool(x, size, padding)] if min(h, w) + 2 * padding >= size else []
    if kind == "concatenation":
        parent, parts = b.concatenation(2, shape)
        b.table(x, output=parts[0])
        b.conv(x, c, output=parts[1])
        return [parent, *parts]
    if b.graph.tensors[x].view is not None:
        return []
    if kind == "row":
        return [b.view(x, (c, 1, h * w))] if h > 1 else []
    at = [draw(st.integers(0, n - 1)) for n in shape]
    size = [draw(st.integers(1, n - start)) for n, start in zip(shape, at, strict=True)]
    return [b.view(x, tuple(size), *at)]
