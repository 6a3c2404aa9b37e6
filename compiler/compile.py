"""From a model to a program: front end, passes, mapper, program writer.

model ─import_onnx or import_tflite─► Graph ─run_passes─► Graph ─compile_graph─► Program
                       (checked)          (checked after each)
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from eyas.compiler.ir import Graph
from eyas.compiler.onnx_frontend import import_onnx
from eyas.compiler.passes import run_passes
from eyas.compiler.program import Program
from eyas.compiler.tflite_file import is_tflite
from eyas.compiler.tflite_frontend import import_tflite
from eyas.compiler.writer import compile_graph
from eyas.config import Config

Model = str | Path | bytes | onnx.ModelProto | Graph
"""Where a network comes from: a path, the bytes of an ONNX or TFLite file, a ModelProto, or a
graph."""


def load_graph(model: Model, batch: int | None = None) -> Graph:
    """The graph of a model after all passes, for a batch if one is given.

    Raises ModelError for what is not supported.
    """
    graph = import_model(model)
    return run_passes(graph if batch is None else replace(graph, batch=batch))


def import_model(model: Model) -> Graph:
    """The graph of a model as its front end makes it."""
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | Path | bytes) and is_tflite(model):
        return import_tflite(model)
    return import_onnx(model)


def compile_model(
    model: Model, config: str | Path | Config, batch: int | None = None, **options: Any
) -> Program:
    """The program that runs `model` on a machine of `config`: a preset, a .toml file or a Config.

    batch: images that a run computes; those of the graph, or one, unless given. `options` are those
    of `compile_graph`. Raises ModelError for a model that is not supported and ConfigError for one
    that the configuration cannot hold.
    """
    return compile_graph(load_graph(model, batch), Config.load(config), **options)
