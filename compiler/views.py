"""Tensors that are parts of others: which elements of the parent a view is.

parent (C, H, W)   ┌───────────┐      a block of it: concatenation, slicing
                   │   ┌───┐   │
                   │   │   │   │      or all of it with rows of another length, where
                   │   └───┘   │      a view has as many channels and positions
                   └───────────┘
"""

from math import prod
from typing import Any

import numpy as np

from eyas.compiler.ir import Graph, Tensor, View


def root(graph: Graph, name: str) -> str:
    """The tensor whose memory `name` lies in: its parent or itself."""
    view = graph.tensors[name].view
    return view.parent if view else name


def recuts(tensor: Tensor, parent: Tensor) -> bool:
    """Whether a view is its parent with rows of another length, and no block of it."""
    return _recuts(tensor.shape, parent.shape)


def _recuts(shape: tuple[int, ...], parent: tuple[int, ...]) -> bool:
    return shape != parent and (shape[0], prod(shape[1:])) == (parent[0], prod(parent[1:]))


def part(graph: Graph, name: str, array: np.ndarray) -> np.ndarray:
    """The elements of `name`, as a NumPy view of the array (C, H, W) of its root."""
    tensor = graph.tensors[name]
    return array if tensor.view is None else region(array, tensor.view, tensor.shape)


def region(array: np.ndarray, at: View, shape: tuple[int, int, int]) -> np.ndarray:
    """The elements of a view of `shape`, as a NumPy view of its parent's array (…, C, H, W)."""
    if _recuts(shape, array.shape[-3:]):
        return array.reshape(*array.shape[:-3], *shape)
    channels, height, width = shape
    return array[..., at.c : at.c + channels, at.y : at.y + height, at.x : at.x + width]


def arrays(graph: Graph, dtype: Any) -> dict[str, np.ndarray]:
    """An array of zeros for every tensor; those of views are NumPy views of their parents'."""
    roots = {
        name: np.zeros(tensor.shape, dtype)
        for name, tensor in graph.tensors.items()
        if tensor.view is None
    }
    return {name: part(graph, name, roots[root(graph, name)]) for name in graph.tensors}


def block_of(graph: Graph, name: str, y: int, x: int) -> View:
    """The place of the block of `name` that begins at row y, column x.

    `name` is no view that recuts its parent.
    """
    return within(graph.tensors[name].view or View(name), View(name, 0, y, x))


def within(outer: View, inner: View) -> View:
    """The place of a block `inner` of the tensor that lies at `outer`."""
    return View(outer.parent, outer.c + inner.c, outer.y + inner.y, outer.x + inner.x)
