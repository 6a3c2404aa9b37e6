"""What the ONNX front end refuses, and how it says so: operator, node, reason, what is accepted."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from qdq_models import QdqModel

from eyas.compiler.onnx_frontend import import_onnx
from eyas.errors import ModelError


def small():
    return QdqModel((4, 8, 8), 1, scale=0.02, zero_point=3)


def finish(builder, value):
    """The builder's model, with `value` quantised at its end."""
    builder.quantize(value)
    return builder.build()


def conv_with(**attributes):
    builder = small()
    w, _ = builder.filters((4, 4, 3, 3), 0)
    return finish(builder, builder.node("Conv", [builder.dequantize(), w], **attributes))


def unsupported_operator():
    builder = small()
    return finish(builder, builder.node("Sigmoid", [builder.dequantize()]))


def average_pool():
    builder = small()
    y = builder.node("AveragePool", [builder.dequantize()], kernel_shape=[2, 2])
    return finish(builder, y)


def residual_add():
    builder = small()
    x = builder.dequantize()
    return finish(builder, builder.node("Add", [x, x]))


def not_quantised_conv():
    w = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], "plain")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 8, 8))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 6, 6))
    return helper.make_model(helper.make_graph([node], "float", [x], [y], [w]))


def float_output():
    builder = small()
    w, _ = builder.filters((4, 4, 3, 3), 0)
    return builder.build(builder.node("Conv", [builder.dequantize(), w]))


def requantised():
    builder = small().conv(4, (3, 3))
    return finish(builder, builder.dequantize())


def pool_between_scales():
    builder = small()
    y = builder.node("MaxPool", [builder.dequantize()], kernel_shape=[2, 2])
    return finish(builder, y)


def ceil_mode():
    builder = small()
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    builder.quantize_same(builder.node("MaxPool", [builder.dequantize()], **pool))
    return builder.build()


def filters_off_centre():
    builder = small()
    w, _ = builder.filters((4, 4, 3, 3), 0, False, zero_point=7)
    return finish(builder, builder.node("Conv", [builder.dequantize(), w]))


def filters_of_uint8():
    builder = small()
    w, _ = builder.filters((4, 4, 3, 3), 0, False, dtype=np.uint8, zero_point=128)
    return finish(builder, builder.node("Conv", [builder.dequantize(), w]))


def filters_along_the_wrong_axis():
    builder = small()
    w, _ = builder.filters((4, 4, 3, 3), 1)
    return finish(builder, builder.node("Conv", [builder.dequantize(), w]))


def computed_filters():
    builder = small()
    x = builder.dequantize()
    return finish(builder, builder.node("Conv", [x, x]))


def bias_of_another_scale():
    builder = small()
    w, scale = builder.filters((4, 4, 3, 3), 0)
    inputs = [builder.dequantize(), w, builder.bias(scale * np.float32(1.001))]
    return finish(builder, builder.node("Conv", inputs))


def wide_sums():
    builder = small()
    w, scale = builder.filters((4, 4, 3, 3), 0)
    bias = builder.bias(scale, np.full(4, 2**31 - 1000, np.int32))
    return finish(builder, builder.node("Conv", [builder.dequantize(), w, bias]))


def tiny_scale():
    builder = small()
    w, _ = builder.filters((4, 4, 3, 3), 0, scale=np.full(4, 1e-37, np.float32))
    builder.quantize(builder.node("Conv", [builder.dequantize(), w]), 1.0)
    return builder.build()


def gemm_with_alpha():
    builder = QdqModel((16,), 1)
    w, _ = builder.filters((16, 4), 1)
    return finish(builder, builder.node("Gemm", [builder.dequantize(), w], alpha=0.5))


def reshape_to_an_image():
    builder = small()
    shape = builder.constant(np.array([1, 8, 8, 4]))
    builder.quantize_same(builder.node("Reshape", [builder.dequantize(), shape]))
    return builder.build()


def mixed_types():
    builder = small()
    x = builder.dequantize()
    w, _ = builder.filters((4, 4, 3, 3), 0)
    builder.dtype = np.dtype(np.uint8)
    return finish(builder, builder.node("Conv", [x, w]))


def wide_fmap():
    builder = small()
    builder.dtype = np.dtype(np.int32)
    builder.conv(4, (3, 3), zero_point=0)
    return builder.build()


def negative_scale():
    builder = small().conv(4, (3, 3), scale=-0.5)
    return builder.build()


def bias_of_one_float():
    builder = small()
    w, _ = builder.filters((4, 4, 3, 3), 0)
    inputs = [builder.dequantize(), w, builder.constant(np.ones(1, np.float32))]
    return finish(builder, builder.node("Conv", inputs))


def other_output_type():
    builder = small().conv(4, (3, 3))
    builder.nodes[-1].attribute.append(helper.make_attribute("output_dtype", TensorProto.INT16))
    model = builder.build()
    model.opset_import[0].version, model.ir_version = 21, 10
    return model


REFUSED = [
    (bias_of_one_float, "a bias of shape (1,) does not fit 4 filters"),
    (other_output_type, "attribute output_dtype must be the type of its zero point"),
    (unsupported_operator, "node sigmoid2 (Sigmoid): is not supported (supported: Add, Clip, Co"),
    (average_pool, "node averagepool2 (AveragePool): is not supported"),
    (residual_add, "(Add): is supported only as the bias of a MatMul"),
    (not_quantised_conv, "node plain (Conv): its input x is not quantised: supported are QDQ mod"),
    (float_output, "output conv3.y is not quantised"),
    (requantised, "(QuantizeLinear): its scale and zero point differ"),
    (pool_between_scales, "(QuantizeLinear): its scale and zero point differ"),
    (ceil_mode, "(MaxPool): attribute ceil_mode must be 0"),
    (filters_off_centre, "beyond int8: quantise them symmetrically"),
    (filters_of_uint8, "filters of type uint8 are not supported (supported: int8)"),
    (filters_along_the_wrong_axis, "must be quantised along axis 0, not 1"),
    (computed_filters, "its filters must be int8 constants"),
    (bias_of_another_scale, "the scale of its bias must be the product"),
    (wide_sums, "its sums may not fit into 32 bits"),
    (tiny_scale, "(QuantizeLinear): the requantisation's scale"),
    (gemm_with_alpha, "(Gemm): attribute alpha must be 1.0, not 0.5"),
    (reshape_to_an_image, "(Reshape): only reshaping to (N, 256) is supported"),
    (mixed_types, "must be both int8 or both uint8"),
    (wide_fmap, "type int32 is not supported for fmaps"),
    (negative_scale, "its scale must be positive and finite"),
    (lambda: conv_with(group=3), "in 3 groups do not fit 4 channels"),
    (lambda: conv_with(auto_pad="OTHER"), "auto_pad OTHER is not supported"),
    (lambda: conv_with(strides=[1]), "attribute strides must be 2 whole numbers of at least 1"),
    (lambda: conv_with(pads=[-1, 0, 0, 0]), "attribute pads must be 4 whole numbers"),
    (lambda: conv_with(dilations=[8, 8]), "its window of 17×17 is larger than its padded ifmap"),
    (lambda: conv_with(kernel_shape=[5, 5]), "attribute kernel_shape must be [3, 3]"),
    (
        lambda: conv_with(surprise=1),
        "test: not a valid ONNX model (Unrecognized attribute: surprise",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_refused(make, message):
    model = make()
    with pytest.raises(ModelError) as caught:
        import_onnx(model)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([3, 4, 8, 8], "input x: the batch must be 1 or open, not 3"),
        (
            [1, 4, "h", "w"],
            "must have the shape (N, C, H, W) or (N, K), fixed but for N, not (1, 4",
        ),
        ([1, 4, 8], "must have the shape (N, C, H, W) or (N, K)"),
        ([], "must have the shape (N, C, H, W) or (N, K)"),
    ],
)
def test_refused_input_shape(dims, message):
    model = small().conv(4, (3, 3)).build()
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    model.graph.input[0].CopyFrom(value)
    with pytest.raises(ModelError) as caught:
        import_onnx(model)
    assert message in str(caught.value)


class OneInput(CalibrationDataReader):
    def __init__(self):
        self.feeds = iter([{"x": np.ones((1, 4, 8, 8), np.float32)}])

    def get_next(self):
        return next(self.feeds, None)


@pytest.mark.filterwarnings("ignore")
def test_qoperator_models_are_refused(tmp_path):
    source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    model = not_quantised_conv()
    model.opset_import[0].version, model.ir_version = 17, 8
    onnx.save(model, source)
    quantize_static(source, target, OneInput(), quant_format=QuantFormat.QOperator)
    onnxruntime.InferenceSession(str(target))
    with pytest.raises(ModelError, match=r"quantised\.onnx: node .* \(QLinearConv\): is not supp"):
        import_onnx(target)


def test_damaged_files(tmp_path):
    data = small().conv(4, (3, 3)).build().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[:-100])
    with pytest.raises(ModelError, match=r"model\.onnx: not an ONNX model, truncated or damaged"):
        import_onnx(path)
    with pytest.raises(ModelError, match="it has no nodes"):
        import_onnx(b"")
    with pytest.raises(ModelError, match=r"missing\.onnx: cannot be read"):
        import_onnx(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="a model must be a path"):
        import_onnx(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("first", range(0, 600, 150))
def test_random_damage_never_surprises(first):
    """A file with some bytes changed is refused with a ModelError, or still is a model."""
    builder = small().conv(4, (3, 3), activation="Relu", zero_point=-128).max_pool((2, 2))
    data = builder.flatten().fully_connected(4).build().SerializeToString()
    refused = 0
    for seed in range(first, first + 150):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[position] = rng.integers(256)
        if rng.random() < 0.2:
            damaged = damaged[: rng.integers(len(data))]
        try:
            import_onnx(bytes(damaged))
        except ModelError:
            refused += 1
    assert refused > 20
