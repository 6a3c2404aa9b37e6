"""What travels between step gate, row controllers and PE array."""

from amaranth.lib import data

from eyas.config import BEAT_LANES, Config, bits_for


def micro_cycle_layout(config: Config) -> data.StructLayout:
    """One micro-cycle, common to all rows, at stage A0."""
    return data.StructLayout(
        {
            "valid": 1,
            "first": 1,  # the psum's first product of this step
            "psum": bits_for(config.spad.psums),
            "filter": bits_for(config.spad.filters),  # value within the filter bank
            "lane": bits_for(config.spad.ifmap_lanes),  # offset from the row's ring base
        }
    )


def row_step_layout(config: Config) -> data.StructLayout:
    """What a row does in the present step, stable from its first A0 to its last."""
    return data.StructLayout(
        {
            "active": 1,
            "filter_bank": 1,
            "ring_base": bits_for(config.spad.ifmap_lanes),
        }
    )


def x_bus_layout(config: Config) -> data.StructLayout:
    """An X-bus: one ifmap beat and one filter value a cycle, each with a mask of its columns."""
    return data.StructLayout(
        {
            "ifmap_mask": config.array.cols,
            "ifmap_address": bits_for(config.spad.ifmap_beats),
            "ifmap_data": 8 * BEAT_LANES,
            "filter_mask": config.array.cols,
            "filter_address": bits_for(2 * config.spad.filters),
            "filter_data": 8,
        }
    )


def emission_layout(config: Config) -> data.StructLayout:
    """A psum of every column that leaves the last row, at stage A0 of its micro-cycle."""
    return data.StructLayout(
        {
            "valid": 1,
            "clear": 1,  # nothing accumulated yet at this address
            "memory": 1,
            "address": bits_for(config.psum_bank.depth),
        }
    )
