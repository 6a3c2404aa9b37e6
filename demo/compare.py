"""What the demo counts: bytes that are equal on all levels, and cycles of each layer."""

from collections import Counter as Total
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from eyas.compiler.program import Program
from eyas.config import Config
from eyas.host.session import Session

Tensors = dict[str, np.ndarray]


@dataclass
class Comparison:
    """Bytes of all tensors, compared between the RTL and the other levels, and onnxruntime."""

    levels_equal: int = 0
    levels_total: int = 0
    outside_equal: int = 0
    outside_total: int = 0

    def add(self, rtl: Tensors, levels: tuple[Tensors, ...], outside: Tensors) -> None:
        """Counts the bytes of an inference; `outside` need not have all tensors."""
        for name, values in rtl.items():
            others = [level[name].reshape(-1) for level in levels]
            self.levels_equal += _equal(values.reshape(-1), *others)
            self.levels_total += values.size
            if name in outside:
                self.outside_equal += _equal(values.reshape(-1), outside[name].reshape(-1))
                self.outside_total += values.size

    @property
    def holds(self) -> bool:
        """Whether there was something to compare, and all of it was equal."""
        return (
            self.levels_equal == self.levels_total > 0
            and self.outside_equal == self.outside_total > 0
        )

    def __str__(self) -> str:
        return (
            f"bit-exact: {self.levels_equal}/{self.levels_total} bytes equal "
            f"(RTL = interpreter = NumPy), "
            f"{self.outside_equal}/{self.outside_total} equal to onnxruntime"
        )


def _equal(first: np.ndarray, *others: np.ndarray) -> int:
    """Elements that are the same in all arrays."""
    return int(np.count_nonzero(np.all([first == other for other in others], axis=0)))


class Layers:
    """Cycles and useful MACs in the RTL, layer by layer, over the digits.

    Layers overlap: a line covers the time from the last ofmap of the layer before to the last of
    its own, whoever used the PEs meanwhile.
    """

    def __init__(self, program: Program):
        self._layers = program.layers
        self._shares = [Total() for _ in program.layers]
        self._network: Total[str] = Total()
        self._runs = 0

    def add(self, session: Session) -> None:
        """Counts the session's last run, of one digit."""
        for share, counters in zip(self._shares, session.layer_counters, strict=True):
            share.update(counters)
        self._network.update(session.counters)
        self._runs += 1

    def table(self, config: Config) -> Table:
        """A line for each layer and one for the network; means of the digits so far."""
        table = Table(
            title=f"Cycles a digit, measured in the RTL, mean of {self._runs}",
            caption="from the layer before's last ofmap to its own; layers overlap",
        )
        for column in ("layer", "shape"):
            table.add_column(column, no_wrap=True)
        for column in ("MACs", "cycles", "utilisation"):
            table.add_column(column, justify="right", no_wrap=True)
        for layer, share in zip(self._layers, self._shares, strict=True):
            macs = f"{layer.macs:,}" if layer.macs else ""
            table.add_row(layer.name, layer.shape, macs, *self._times(share, config))
        table.add_section()
        macs = sum(layer.macs for layer in self._layers)
        table.add_row("network", "", f"{macs:,}", *self._times(self._network, config))
        return table

    def _times(self, share: "Total[str]", config: Config) -> tuple[str, str]:
        """Mean cycles, and useful MACs a cycle and PE."""
        cycles = share["cycles"]
        used = share["useful_macs"] / max(1, cycles * config.pes)
        return f"{cycles / self._runs:,.0f}", f"{used:.0%}"
