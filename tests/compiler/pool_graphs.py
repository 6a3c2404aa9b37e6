"""Networks with a max pool in every position that it can have among convolutions."""

from graph_builder import GraphBuilder

from eyas.command import MergeOp

SHAPE = (8, 14, 11)


def first(b):
    """x ─► pool ─► conv"""
    return b.conv(b.max_pool("x", 3), 9, 3)


def output(b):
    """x ─► conv ─► pool, an output; and a convolution that runs behind it"""
    end = b.conv("x", 9, 3)
    pool = b.max_pool(end)
    return pool, b.conv(end, 5, 3)


def two_readers(b):
    """One reader at once, the other one a layer later."""
    pool = b.max_pool(b.conv("x", 12, 3))
    near = b.conv(pool, 6, 3)
    return b.conv(near, 7), b.conv(pool, 5, 3)


def two_pools(b):
    """Of one fmap, one of them over parts that two convolutions make."""
    parent, parts = b.concatenation(2, b.shape("x"))
    for part in parts:
        b.conv("x", 8, output=part)
    return b.conv(b.max_pool(parent, 3), 6), b.conv(b.max_pool(parts[1]), 6)


def into_a_part(b):
    """A branch of a concatenation, as in GoogLeNet."""
    before = b.conv("x", 8, 3)
    _, h, w = b.shape(before)
    parent, parts = b.concatenation(2, (8, h - 1, w - 1))
    b.conv(before, 8, 2, output=parts[0])
    b.max_pool(before, output=parts[1])
    return b.conv(parent, 9, 3)


def residual(b):
    """Beside a branch of two convolutions that are joined to it."""
    before = b.conv("x", 8, 3)
    pool = b.max_pool(before)
    side = b.conv(b.conv(before, 5), 8, 2)
    return b.conv(b.merge(MergeOp.ADD, side, pool), 6)


def behind_each_other(b):
    """Two pools, and one more behind a convolution."""
    pool = b.max_pool(b.max_pool(b.conv("x", 16, 3)), 3)
    return b.max_pool(b.conv(pool, 16, 3), 3)


def beside_fmaps_that_stay(b):
    """A pool while others go from layer to layer in the GLB."""
    before = b.conv("x", 8, 3)
    stays = b.conv(b.conv(b.conv("x", 5), 6, 3), 7, 3)
    return b.conv(b.max_pool(before), 5), b.conv(stays, 9)


POSITIONS = [
    first, output, two_readers, two_pools, into_a_part, residual, behind_each_other,
    beside_fmaps_that_stay,
]  # fmt: skip


def pool_graph(position, seed=1, shape=SHAPE):
    b = GraphBuilder(seed, shape)
    outputs = position(b)
    return b.finish(*(outputs if isinstance(outputs, tuple) else (outputs,)))
