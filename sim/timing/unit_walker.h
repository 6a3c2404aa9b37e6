// hw/unit_walker.py: deals the units of each segment onto the rows.

#pragma once

#include "commands.h"
#include "config.h"

namespace eyas::timing {

struct Unit {
    const Slot *slot = nullptr;
    uint8_t slot_number = 0;
    bool active = false;
    bool last = false;  // of the row's units in this segment
    uint8_t lane = 0;
    int y = 0, x = 0;
    uint32_t address = 0, filter = 0;
};

class UnitWalker {
  public:
    uint32_t filled = 0;  // slots that are not walked yet
    bool walking = false;
    unsigned row = 0;  // whose unit is next
    Unit unit;

    UnitWalker(const Config &config, const Slot *slots)
        : rows_(config.rows), slot_count_(config.tile_slots), slots_(slots) {}

    // taken: the present unit's row takes it.
    void update(bool taken, uint32_t announced) {
        if (!walking) {
            if (filled >> slot_ & 1) begin();
        } else if (taken) {
            if (units_left_) --units_left_;
            next_unit();
            row = row + 1 == rows_ ? 0 : row + 1;
            if (row == 0 && --passes_left_ == 0) {
                walking = false;
                filled &= ~(1u << slot_);
                slot_ = (slot_ + 1) % slot_count_;
            }
            unit.active = units_left_ != 0;
            unit.last = passes_left_ == 1;
        }
        filled |= announced;
    }

  private:
    const unsigned rows_, slot_count_;
    const Slot *const slots_;
    unsigned slot_ = 0;
    uint16_t units_left_ = 0, passes_left_ = 0;
    int row_left_ = 0, chunk_left_ = 0;
    uint32_t channel_address_ = 0, chunk_address_ = 0;

    void begin() {
        const Slot &slot = slots_[slot_];
        walking = true;
        units_left_ = uint16_t(slot.tile.units);
        passes_left_ = uint16_t(slot.tile.passes);
        row_left_ = slot.walk.unit_rows;
        chunk_left_ = slot.walk.tap_chunks;
        channel_address_ = chunk_address_ = uint32_t(slot.tile.ifmap_base);
        unit = {&slot,
                uint8_t(slot_),
                units_left_ != 0,
                passes_left_ == 1,
                uint8_t(slot.tile.lane0),
                slot.tile.y0,
                slot.tile.x0,
                channel_address_,
                uint32_t(slot.tile.filter_base)};
    }

    void next_unit() {
        const Slot &slot = *unit.slot;
        unit.filter += uint32_t(slot.unit.unit_words);
        if (row_left_ != 1) {
            --row_left_;
            unit.address += uint32_t(slot.walk.row_step);
            unit.y += slot.walk.dilation;
            return;
        }
        row_left_ = slot.walk.unit_rows;
        unit.y = slot.tile.y0;
        if (chunk_left_ != 1) {
            --chunk_left_;
            chunk_address_ += uint32_t(slot.unit.tap_chunk_step);
            unit.x += slot.unit.tap_chunk_step;
        } else {
            const unsigned lane = unit.lane + (unsigned(slot.walk.q) & 7);
            chunk_left_ = slot.walk.tap_chunks;
            channel_address_ += uint32_t(slot.unit.q_plane);
            if (lane & 8) channel_address_ += uint32_t(slot.walk.ifmap_plane);
            chunk_address_ = channel_address_;
            unit.x = slot.tile.x0;
            unit.lane = lane & 7;
        }
        unit.address = chunk_address_;
    }
};

}  // namespace eyas::timing
