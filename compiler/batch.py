"""Which images of a batch a layer sees as one: their filters are then loaded once for all.

In memory a batch of fmaps (C, H, W) lies as [channel block][image][row][column], like one fmap of
batch * H rows.

    one row    1x1, stride 1, no padding     all positions of all images, one behind the other
    stacked    one ofmap row for each image  ifmap rows of all images, H rows from one ofmap row
               (FC layers: R = H, S = W)     to the next, and row n of the ofmap is image n
    apart      all others                    blocks of tiles image by image
"""

from collections.abc import Sequence
from dataclasses import replace

from eyas.command import WALK
from eyas.compiler.conv_shape import ConvShape
from eyas.compiler.fmap_place import FmapPlace


def lay_out(
    shape: ConvShape, batch: int, ifmap: FmapPlace, ofmaps: Sequence[FmapPlace]
) -> ConvShape:
    """The layer on a batch, with the rows and images that it may see as one taken for one.

    shape: of an image. ofmaps: places of the ofmap and, with a merge, of its operand.
    """
    if all(place.pitch == shape.f for place in ofmaps):
        shape = shape.in_one_row()
    shape = shape.without_idle_rows()
    if batch == 1:
        return shape
    if shape.pointwise and _follow(shape.w, [ifmap]) and _follow(shape.f, ofmaps):
        rows, w, f = (batch * n for n in (shape.rows, shape.w, shape.f))
        return replace(shape, rows=rows, w=w, f=f, merged=batch)
    if shape.e == 1 and _stackable(shape, ifmap):
        return replace(
            shape,
            h=batch * shape.h,
            e=batch,
            stride=(shape.h, shape.stride[1]),
            ofmap_rows_apart=not _follow(shape.f, ofmaps),
            merged=batch,
        )
    return replace(shape, images=batch)


def _follow(positions: int, places: Sequence[FmapPlace]) -> bool:
    return all(place.image == positions for place in places)


def _stackable(shape: ConvShape, ifmap: FmapPlace) -> bool:
    """Whether a window stays in its image, and commands hold the steps from image to image."""
    height = (shape.r - 1) * shape.dilation[0] + 1
    inside = shape.padding[0] == 0 and height <= shape.h
    fits = shape.h <= WALK["stride_y"].range[1] and shape.h * shape.w <= WALK["we_step"].range[1]
    return inside and fits and ifmap.image == shape.h * ifmap.pitch
