"""onnxruntime as the reference: every quantised tensor of a model, not only its outputs."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx

from eyas.errors import EyasError


class Reference:
    """A model in onnxruntime that also gives the quantised tensors in `names`, as far as it can.

    The option keeps int8 kernels signed on both sides, so that their sums are exact everywhere:
    without it onnxruntime makes int8 activations unsigned on x86, where processors without VNNI
    saturate sums of two products.
    """

    def __init__(self, model: Path | onnx.ModelProto, names: Iterable[str]):
        try:
            import onnxruntime
        except ImportError:
            raise EyasError("onnxruntime is missing: pip install 'eyas[demo]'") from None
        if isinstance(model, onnx.ModelProto):
            model = onnx.ModelProto.FromString(model.SerializeToString())
        else:
            model = onnx.load(model)
        quantised = {
            node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"
        }
        self.names = [name for name in names if name in quantised]
        self.outputs = [value.name for value in model.graph.output]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names)
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), options)

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs and quantised tensors by name."""
        names = [*self.outputs, *self.names]
        values = self._session.run(names, feed)
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
