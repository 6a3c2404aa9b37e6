"""ONNX files and nodes, read with care: whatever is wrong becomes a ModelError that says where."""

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper, numpy_helper

from eyas.errors import ModelError

MAIN_DOMAINS = ("", "ai.onnx")

Source = str | Path | bytes | onnx.ModelProto


def load(source: Source) -> tuple[onnx.ModelProto, str]:
    """The model from a path, the bytes of a file or a ModelProto, checked, and a name for it."""
    if isinstance(source, onnx.ModelProto):
        model, name = source, source.graph.name or "model"
    elif isinstance(source, bytes):
        model, name = _parse(source, "model"), "model"
    elif isinstance(source, str | Path):
        name = Path(source).name
        model = _parse(_read(Path(source)), name, str(Path(source).parent))
    else:
        raise ModelError(
            "a model must be a path, the bytes of an ONNX file or an onnx.ModelProto, "
            f"not {type(source).__name__}"
        )
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # whatever the checker trips over in a damaged file
        detail = str(error).strip().splitlines()[0]
        raise ModelError(f"{name}: not a valid ONNX model ({detail})") from None
    return model, name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None


def _parse(data: bytes, name: str, folder: str | None = None) -> onnx.ModelProto:
    """Parses a file's bytes; weights in files of their own are looked for in `folder`."""
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise ModelError(f"{name}: not an ONNX model, truncated or damaged") from None
    if not model.graph.node:
        raise ModelError(f"{name}: not an ONNX model: it has no nodes")
    if any(external_data_helper.uses_external_data(t) for t in model.graph.initializer):
        if folder is None:
            raise ModelError(f"{name}: its weights are in another file: give the path of the model")
        try:
            external_data_helper.load_external_data_for_model(model, folder)
        except Exception as error:  # missing, short or outside of the folder
            raise ModelError(f"{name}: weights in another file: {error}") from None
    return model


def array(proto: onnx.TensorProto, where: str) -> np.ndarray:
    """A constant's value. Raises ModelError where the stored data do not fit its type and shape."""
    try:
        return numpy_helper.to_array(proto)
    except Exception:  # any inconsistency in a damaged file
        raise ModelError(f"{where}: constant {proto.name} is damaged") from None


class Node:
    """A node of the graph, with its attributes; `where` names model and node in messages."""

    def __init__(self, proto: onnx.NodeProto, model: str):
        self.kind = proto.op_type
        self.domain = "" if proto.domain in MAIN_DOMAINS else proto.domain
        self.inputs = list(proto.input)
        self.outputs = [name for name in proto.output if name]
        self.name = proto.name or next(iter(self.outputs), "?")
        self.where = f"{model}: node {self.name} ({self.kind})"
        self._attributes = {a.name: a for a in proto.attribute}

    @property
    def output(self) -> str:
        """The name of its only output."""
        if len(self.outputs) != 1:
            self.refuse("has more than one output; only its first is supported")
        return self.outputs[0]

    def refuse(self, reason: str) -> NoReturn:
        """Raises ModelError with `reason`, which says what is supported."""
        raise ModelError(f"{self.where}: {reason}")

    def accept(self, *names: str) -> None:
        """Refuses any attribute that is not among `names`."""
        for name in self._attributes:
            if name not in names:
                supported = ", ".join(names) or "none"
                self.refuse(f"attribute {name} is not supported (supported: {supported})")

    def require(self, name: str, default: Any, only: Any) -> None:
        """Refuses an attribute whose value is not `only`."""
        value = self.attribute(name, default)
        if value != only:
            self.refuse(f"attribute {name} must be {only}, not {value}")

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value, of the type of `default`."""
        if name not in self._attributes:
            return default
        value = onnx.helper.get_attribute_value(self._attributes[name])
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if not isinstance(value, type(default)):
            self.refuse(f"attribute {name} must be of type {type(default).__name__}")
        return value

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """An attribute of two positive numbers, (y, x)."""
        y, x = self.numbers(name, 2, default, 1)
        return y, x

    def numbers(self, name: str, count: int, default: int, least: int) -> tuple[int, ...]:
        """An attribute of `count` whole numbers, each at least `least`."""
        value = self.attribute(name, [default] * count)
        if len(value) != count or any(not isinstance(v, int) or v < least for v in value):
            self.refuse(
                f"attribute {name} must be {count} whole numbers of at least {least}, not "
                f"{list(value)}; only layers with two spatial dimensions are supported"
            )
        return tuple(value)

    def tensor_attribute(self, name: str) -> onnx.TensorProto | None:
        """An attribute that holds a tensor."""
        value = self._attributes.get(name)
        return value.t if value is not None and value.type == onnx.AttributeProto.TENSOR else None
