"""AXI4 and AXI4-Lite as nested streams, seen from the manager.

    AxiRead  = ar ──► address       AxiWrite = aw ──► address      AxiLite = aw, w, b, ar, r
               r  ◄── data                     w  ──► data
                                               b  ◄── response

Each channel is an Amaranth stream, whose rule (a payload that is offered stays until it is taken)
is AXI's own. Only what varies has a signal: every burst is INCR, aligned, of full bus width, and
never crosses a 4 KiB boundary; a top level that needs the flat names drives the constants of this
module into AxSIZE, AxBURST and the rest.
"""

from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

ADDRESS_WIDTH = 32
ID_WIDTH = 1
LENGTH_WIDTH = 8
LITE_ADDRESS_WIDTH = 12
LITE_DATA_WIDTH = 32

BURST_INCR = 1
"""AxBURST."""
CACHE_BUFFERABLE = 0b0011
"""AxCACHE: normal memory, not cached, bufferable."""
PROTECTION = 0b000
"""AxPROT: unprivileged, secure, data."""
PAGE_BYTES = 4096
"""No burst crosses a multiple of this."""

OKAY = 0
"""xRESP of an access that worked."""
DECODE_ERROR = 3


def burst_size(data_width: int) -> int:
    """AxSIZE of full-width beats."""
    return (data_width // 8).bit_length() - 1


AxiAddress = data.StructLayout({"address": ADDRESS_WIDTH, "id": ID_WIDTH, "len": LENGTH_WIDTH})
"""A burst of len + 1 beats from a byte address."""


def read_data(data_width: int) -> data.StructLayout:
    """A beat of the R channel."""
    return data.StructLayout({"data": data_width, "id": ID_WIDTH, "resp": 2, "last": 1})


def write_data(data_width: int) -> data.StructLayout:
    """A beat of the W channel; strb has a bit for each byte."""
    return data.StructLayout({"data": data_width, "strb": data_width // 8, "last": 1})


WriteResponse = data.StructLayout({"id": ID_WIDTH, "resp": 2})


def axi_read(data_width: int) -> Signature:
    """The read half of AXI4."""
    return Signature(
        {
            "ar": Out(stream.Signature(AxiAddress)),
            "r": In(stream.Signature(read_data(data_width))),
        }
    )


def axi_write(data_width: int) -> Signature:
    """The write half of AXI4."""
    return Signature(
        {
            "aw": Out(stream.Signature(AxiAddress)),
            "w": Out(stream.Signature(write_data(data_width))),
            "b": In(stream.Signature(WriteResponse)),
        }
    )


AxiLite = Signature(
    {
        "aw": Out(stream.Signature(LITE_ADDRESS_WIDTH)),
        "w": Out(
            stream.Signature(
                data.StructLayout({"data": LITE_DATA_WIDTH, "strb": LITE_DATA_WIDTH // 8})
            )
        ),
        "b": In(stream.Signature(2)),
        "ar": Out(stream.Signature(LITE_ADDRESS_WIDTH)),
        "r": In(stream.Signature(data.StructLayout({"data": LITE_DATA_WIDTH, "resp": 2}))),
    }
)
