// Commands as the engines see them, and the parameters of a segment in its tile slot.
//
// command_fields.h holds a struct for each block of eyas/command.py; sim/timing_library.py writes it
// from those tables when this is compiled.

#pragma once

#include <cstdint>

#include "command_fields.h"

namespace eyas::timing {

// One command in memory: its header and its payload.
struct Command {
    fields::Header header;
    const uint32_t *payload;

    static Command at(const uint32_t *words) { return {fields::Header::unpack(words), words + 1}; }
    bool is_set() const { return header.opcode == fields::SET; }
};

// hw/tile_slots.py: a segment's parameters.
struct Slot {
    fields::Tile tile{};
    fields::Walk walk{};
    fields::Unit unit{};
};

// hw/drain_descriptor.py: what the drain must know of a tile.
struct DrainTile {
    fields::Tile tile{};
    fields::Walk walk{};
    fields::Drain drain{};
    fields::Merge merge{};
    int columns = 0;

    int psums() const { return walk.psums; }
    bool merges() const { return merge.op != 0; }
    // What all values in the lanes share (ppu_constants_layout in hw/ppu_lane.py).
    bool same_constants(const DrainTile &other) const {
        const fields::Drain &a = drain, &b = other.drain;
        return a.dialect == b.dialect && a.zero_point == b.zero_point &&
               a.clamp_min == b.clamp_min && a.clamp_max == b.clamp_max && a.table == b.table &&
               merge.op == other.merge.op;
    }
};

}  // namespace eyas::timing
