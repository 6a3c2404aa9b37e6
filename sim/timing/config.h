// The sizes of the machine that its timing depends on.

#pragma once

#include <cstdint>

namespace eyas::timing {

constexpr unsigned WORD_BYTES = 8;
constexpr unsigned MOST_ROWS = 32, MOST_COLS = 32, MOST_LANES = 32, MOST_SLOTS = 4, MOST_PORTS = 4;
constexpr unsigned GLB_READ_LATENCY = 2;

// What toggles from cycle to cycle since the reset (visits of counters, turns of merges) stands like
// this when a program starts that Simulator.run starts after a reset.
constexpr bool ODD_START = true;
constexpr unsigned START_CYCLES = 16;  // from the reset until then

// Mirrored by _Config in sim/timing_library.py.
struct Config {
    uint32_t rows, cols;
    uint32_t ifmap_beats;  // of a PE's ring
    uint32_t tile_slots;
    uint32_t ifmap_ports, filter_ports;
    uint32_t lanes, tables, merge;  // of the PPU
    uint32_t bus_bytes, burst_beats, outstanding;
    uint32_t queue_depth, counter_width;
};

}  // namespace eyas::timing
