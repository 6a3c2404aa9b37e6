"""From ONNX to a program: small networks on every preset, interpreter against onnxruntime."""

import numpy as np
import pytest
from qdq_models import QdqModel

from eyas.compiler.compile import compile_model, load_graph
from eyas.config import presets
from eyas.demo.reference import Reference
from eyas.errors import ConfigError, ModelError
from eyas.host.session import Session


def plain(seed):
    builder = QdqModel((3, 17, 15), seed).conv(10, (3, 3), pads=[1] * 4, strides=[2, 2])
    builder.activation("Relu").max_pool((3, 3), strides=[2, 2], pads=[1] * 4)
    return builder.flatten().fully_connected(11)


def depthwise(seed):
    builder = QdqModel((8, 12, 12), seed)
    builder.conv(16, (1, 1), activation="Relu", zero_point=-128)
    builder.conv(16, (3, 3), groups=16, pads=[1] * 4, activation=(0.0, 6.0), zero_point=-128)
    builder.conv(12, (1, 1), groups=2).average_pool()
    return builder.flatten().fully_connected(5, kind="MatMul")


def dilated(seed):
    builder = QdqModel((5, 14, 14), seed, dtype=np.uint8, filter_limit=60)
    builder.conv(9, (3, 2), dilations=[2, 3], pads=[2, 1, 0, 1], per_channel=False)
    return builder.max_pool((2, 3), strides=[1, 2]).activation((-1.0, 1.0))


def large_average(seed):
    return QdqModel((20, 14, 13), seed).activation("Relu").average_pool()


@pytest.mark.parametrize("config", presets())
@pytest.mark.parametrize("network", [plain, depthwise, dilated, large_average])
def test_networks(network, config):
    builder = network(7)
    model = builder.build()
    session = Session(model, config=config, intermediates=True)
    reference = Reference(model, session.program.tensors)
    shift = 128 if builder.dtype == np.uint8 else 0
    for x in builder.inputs():
        expected = reference.run({"x": x})
        (output,) = session.run(None, {"x": x})
        assert np.array_equal(output, expected[model.graph.output[0].name])
        for name, value in session.intermediates.items():
            theirs = expected[name].astype(np.int16) - shift
            assert np.array_equal(value.reshape(-1), theirs.reshape(-1)), name


def test_options_reach_the_program_writer():
    model = plain(1).build()
    small = compile_model(model, "edge8x8", reuse_memory=True)
    assert small.memory_bytes < compile_model(model, "edge8x8").memory_bytes
    lines = []
    compile_model(model, "edge8x8", progress=lambda *line: lines.append(line))
    assert [name for _, _, name in lines] == [layer.name for layer in load_graph(model).layers]


def test_errors_keep_their_family():
    with pytest.raises(ConfigError, match="no configuration 'huge'"):
        compile_model(plain(1).build(), "huge")
    with pytest.raises(ModelError, match="truncated or damaged"):
        compile_model(b"no model", "edge8x8")
