"""Networks that `eyas bench` measures, as tables of shapes with random filters.

A stack is every layer of a network but FC and softmax, with its pools and residual adds. Local
response normalisation, between the first layers of AlexNet and GoogLeNet, is left out.
"""

from collections.abc import Callable

from eyas.compiler.ir import Graph
from eyas.sim.shape_network import ShapeNetwork


def lenet5() -> Graph:
    """LeCun et al. 1998, with all 96 kernels of the second layer."""
    net = ShapeNetwork("lenet5", (1, 28, 28))
    x = net.average_pool("pool1", net.conv("conv1", net.input, 6, 5, padding=2), 2, 2)
    return net.graph(net.average_pool("pool2", net.conv("conv2", x, 16, 5), 2, 2))


def alexnet() -> Graph:
    """Krizhevsky et al. 2012: 227 x 227, three layers in two groups."""
    net = ShapeNetwork("alexnet", (3, 227, 227))
    x = net.max_pool("pool1", net.conv("conv1", net.input, 96, 11, 4), 3, 2)
    x = net.max_pool("pool2", net.conv("conv2", x, 256, 5, padding=2, groups=2), 3, 2)
    x = net.conv("conv3", x, 384, 3, padding=1)
    x = net.conv("conv4", x, 384, 3, padding=1, groups=2)
    x = net.conv("conv5", x, 256, 3, padding=1, groups=2)
    return net.graph(net.max_pool("pool5", x, 3, 2))


def overfeat() -> Graph:
    """Sermanet et al. 2013, the fast model."""
    net = ShapeNetwork("overfeat", (3, 231, 231))
    x = net.max_pool("pool1", net.conv("conv1", net.input, 96, 11, 4), 2, 2)
    x = net.max_pool("pool2", net.conv("conv2", x, 256, 5), 2, 2)
    for number, filters in ((3, 512), (4, 1024), (5, 1024)):
        x = net.conv(f"conv{number}", x, filters, 3, padding=1)
    return net.graph(net.max_pool("pool5", x, 2, 2))


def vgg16() -> Graph:
    """Simonyan and Zisserman 2014, configuration D."""
    net = ShapeNetwork("vgg16", (3, 224, 224))
    return net.graph(_vgg_blocks(net, net.input, (1, 2, 3, 4, 5)))


def _vgg_blocks(net: ShapeNetwork, x: str, blocks: tuple[int, ...]) -> str:
    filters, depth = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)
    for block in blocks:
        for number in range(depth[block - 1]):
            x = net.conv(f"conv{block}_{number + 1}", x, filters[block - 1], 3, padding=1)
        x = net.max_pool(f"pool{block}", x, 2, 2)
    return x


def vgg16_conv3_to_5() -> Graph:
    """The part of VGG-16 by which arrays of all sizes are compared."""
    net = ShapeNetwork("vgg16_conv3_to_5", (128, 56, 56))
    return net.graph(_vgg_blocks(net, net.input, (3, 4, 5)))


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of GoogLeNet's modules: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection."""


def googlenet() -> Graph:
    """Szegedy et al. 2014, table 1."""
    net = ShapeNetwork("googlenet", (3, 224, 224))
    x = net.conv("conv1", net.input, 64, 7, 2, (3, 3, 2, 2))
    x = net.max_pool("pool1", x, 3, 2, (0, 0, 1, 1))
    x = net.conv("conv2", net.conv("conv2_reduce", x, 64, 1), 192, 3, padding=1)
    x = net.max_pool("pool2", x, 3, 2, (0, 0, 1, 1))
    for name, (one, reduce3, three, reduce5, five, projected) in INCEPTIONS.items():
        if name in ("4a", "5a"):
            x = net.max_pool(f"pool{int(name[0]) - 1}", x, 3, 2, (0, 0, 1, 1))
        at = f"inception_{name}/"
        parts = [net.conv(f"{at}1x1", x, one, 1)]
        y = net.conv(f"{at}3x3_reduce", x, reduce3, 1)
        parts.append(net.conv(f"{at}3x3", y, three, 3, padding=1))
        y = net.conv(f"{at}5x5_reduce", x, reduce5, 1)
        parts.append(net.conv(f"{at}5x5", y, five, 5, padding=2))
        y = net.max_pool(f"{at}pool", x, 3, 1, 1)
        parts.append(net.conv(f"{at}pool_proj", y, projected, 1))
        x = net.concat(f"{at}output", parts)
    return net.graph(net.average_pool("pool5", x, 7))


def resnet50() -> Graph:
    """He et al. 2015, version 1: the stride is in the first 1 x 1 of a block."""
    net = ShapeNetwork("resnet50", (3, 224, 224))
    x = net.conv("conv1", net.input, 64, 7, 2, (3, 3, 2, 2))
    x = net.max_pool("pool1", x, 3, 2, (0, 0, 1, 1))
    for stage, (width, depth) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for number in range(depth):
            at = f"conv{stage}_{'abcdef'[number]}/"
            stride = 2 if number == 0 and stage > 2 else 1
            shortcut = x
            if number == 0:
                shortcut = net.conv(f"{at}shortcut", x, 4 * width, 1, stride, relu=False)
            y = net.conv(f"{at}1x1_reduce", x, width, 1, stride)
            y = net.conv(f"{at}3x3", y, width, 3, padding=1)
            y = net.conv(f"{at}1x1_increase", y, 4 * width, 1, relu=False)
            x = net.add(f"{at}add", y, shortcut)
    return net.graph(net.average_pool("pool5", x, 7))


def mobilenet_v1() -> Graph:
    """Howard et al. 2017: width 1.0, 224 x 224."""
    net = ShapeNetwork("mobilenet_v1", (3, 224, 224))
    x = net.conv("conv1", net.input, 32, 3, 2, (0, 0, 1, 1))
    return net.graph(net.average_pool("pool", _separable(net, x, 1024), 7))


def _separable(net: ShapeNetwork, x: str, widest: int) -> str:
    """The 13 depthwise separable layers of MobileNet v1; the last has `widest` filters."""
    shares = (16, 8, 8, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    for number, (share, stride) in enumerate(zip(shares, strides, strict=True), 2):
        padding = (0, 0, 1, 1) if stride == 2 else 1
        x = net.depthwise(f"conv{number}/dw", x, stride, padding)
        x = net.conv(f"conv{number}/pw", x, widest // share, 1)
    return x


def resnet8() -> Graph:
    """Image classification of MLPerf Tiny."""
    net = ShapeNetwork("resnet8", (3, 32, 32))
    x = net.conv("conv1", net.input, 16, 3, padding=1)
    y = net.conv("block1/conv1", x, 16, 3, padding=1)
    y = net.conv("block1/conv2", y, 16, 3, padding=1, relu=False)
    x = net.add("block1/add", y, x)
    for block, width in ((2, 32), (3, 64)):
        y = net.conv(f"block{block}/conv1", x, width, 3, 2, (0, 0, 1, 1))
        y = net.conv(f"block{block}/conv2", y, width, 3, padding=1, relu=False)
        shortcut = net.conv(f"block{block}/shortcut", x, width, 1, 2, relu=False)
        x = net.add(f"block{block}/add", y, shortcut)
    return net.graph(net.average_pool("pool", x, 8))


def dscnn() -> Graph:
    """Keyword spotting of MLPerf Tiny."""
    net = ShapeNetwork("dscnn", (1, 49, 10))
    x = net.conv("conv1", net.input, 64, (10, 4), 2, (4, 1, 5, 1))
    for number in range(2, 6):
        x = net.conv(f"conv{number}/pw", net.depthwise(f"conv{number}/dw", x), 64, 1)
    return net.graph(net.average_pool("pool", x, (25, 5)))


def vww() -> Graph:
    """Visual wake words of MLPerf Tiny: MobileNet v1 of width 0.25, 96 x 96."""
    net = ShapeNetwork("vww", (3, 96, 96))
    x = net.conv("conv1", net.input, 8, 3, 2, (0, 0, 1, 1))
    return net.graph(net.average_pool("pool", _separable(net, x, 256), 3))


NETWORKS: dict[str, Callable[[], Graph]] = {
    "lenet5": lenet5,
    "alexnet": alexnet,
    "overfeat": overfeat,
    "vgg16": vgg16,
    "googlenet": googlenet,
    "resnet50": resnet50,
    "mobilenet_v1": mobilenet_v1,
    "resnet8": resnet8,
    "dscnn": dscnn,
    "vww": vww,
    "vgg16_conv3_to_5": vgg16_conv3_to_5,
}
"""By the names that `eyas bench` takes."""
