// hw/step_gate.py: issues micro-cycles, and holds a step back until its data is there.

#pragma once

#include "commands.h"
#include "config.h"
#include "queues.h"

namespace eyas::timing {

// One step of one pass, on its way down the rows.
struct Item {
    bool valid = false, last_step = false, segment_end = false, tile_end = false;
    uint8_t slot = 0, memory = 0, columns = 0;
};

class StepGate {
  public:
    uint32_t filled = 0;  // segments that are not walked yet
    bool running = false;
    bool begin = true;  // at the first micro-cycle of a step

    // Of this cycle.
    bool go = false, step_end = false, emitted = false;
    bool wait_ifmaps = false, wait_filters = false, wait_psum_banks = false;
    uint32_t computed = 0;  // slots that no row needs for computing any more
    unsigned full = 0;      // psum memories that hold a finished tile

    StepGate(const Config &config, const Slot *slots)
        : rows_(config.rows), slot_count_(config.tile_slots), slots_(slots) {}

    const Item &stage(unsigned row) const { return stages_[row]; }
    const Item &leaving() const { return stages_[rows_]; }

    // Whether the psum memory of the item that leaves is empty.
    bool bank_free() const { return !leaving().valid || !(occupied_ >> leaving().memory & 1); }

    // Only in the first micro-cycle of a step the rows are asked.
    void evaluate(bool ifmaps, bool filters) {
        wait_ifmaps = wait_filters = wait_psum_banks = false;
        go = running;
        if (running && begin) {
            if (!bank_free())
                wait_psum_banks = true;
            else if (!filters)
                wait_filters = true;
            else if (!ifmaps)
                wait_ifmaps = true;
            go = !(wait_psum_banks || wait_filters || wait_ifmaps);
        }
        step_end = go && micro_ + 1 == length_;
        emitted = go && micro_ < psums_ && leaving().valid;
        const Item &last_row = stages_[rows_ - 1];
        computed = step_end && last_row.valid && last_row.segment_end ? 1u << last_row.slot : 0;
    }

    void update(uint32_t announced, unsigned drained) {
        if (go) {
            begin = step_end;
            micro_ = step_end ? 0 : micro_ + 1;
        }
        track_banks(drained);
        if (step_end || !running) {
            move();
        } else if (!known_) {
            look_up();
        }
        filled |= announced;
    }

  private:
    static constexpr unsigned FULL_DELAY = 5;  // until the last psum of a tile is written
    const unsigned rows_, slot_count_;
    const Slot *const slots_;
    Item stages_[MOST_ROWS + 1];
    unsigned micro_ = 0, length_ = 1, psums_ = 1;
    unsigned occupied_ = 0;
    DelayLine filled_banks_[2];
    // The next item.
    bool known_ = false, same_shape_ = false;
    unsigned slot_ = 0, memory_ = 0;
    uint16_t steps_left_ = 0, passes_left_ = 0;
    // Fields that all rows must share while a step runs.
    int p_ = 0, q_ = 0, taps_ = 0, depthwise_ = 0, tap_pitch_ = 0, shape_psums_ = 0;

    // A step ends, or none runs: the next item moves in.
    void move() {
        bool behind = false;
        for (unsigned row = 0; row < rows_ && running; ++row) behind |= stages_[row].valid;
        const bool go_on = known_ && same_shape_;
        const bool push = go_on || behind;
        if (push) {
            for (unsigned row = rows_; row > 0; --row) stages_[row] = stages_[row - 1];
            stages_[0] = {};
        } else if (running) {
            for (Item &item : stages_) item.valid = false;
        }
        running = push;
        if (go_on) {
            stages_[0] = next_item();
        } else if (known_ && !behind) {
            load_shape();
        } else if (!known_) {
            look_up();
        }
    }

    // The next segment's items, once its slot is filled.
    void look_up() {
        const Slot &slot = slots_[slot_];
        const fields::Walk &walk = slot.walk;
        known_ = filled >> slot_ & 1;
        if (!known_) return;
        same_shape_ = walk.p == p_ && walk.q == q_ && walk.taps == taps_ &&
                      walk.depthwise == depthwise_ && walk.tap_pitch == tap_pitch_ &&
                      walk.psums == shape_psums_;
        steps_left_ = uint16_t(walk.steps);
        passes_left_ = uint16_t(slot.tile.passes);
    }

    Item next_item() {
        const Slot &slot = slots_[slot_];
        Item item{true, steps_left_ == 1, false, false, uint8_t(slot_), uint8_t(memory_),
                  uint8_t(slot.unit.columns)};
        item.segment_end = item.last_step && passes_left_ == 1;
        item.tile_end = item.segment_end && slot.tile.last;
        --steps_left_;
        if (item.last_step) {
            steps_left_ = uint16_t(slot.walk.steps);
            --passes_left_;
        }
        if (item.segment_end) {
            known_ = false;
            filled &= ~(1u << slot_);
            slot_ = (slot_ + 1) % slot_count_;
        }
        if (item.segment_end && (slot.tile.last || slot.tile.swap)) memory_ ^= 1;
        return item;
    }

    void load_shape() {
        const fields::Walk &walk = slots_[slot_].walk;
        p_ = walk.p, q_ = walk.q, taps_ = walk.taps;
        depthwise_ = walk.depthwise, tap_pitch_ = walk.tap_pitch, shape_psums_ = walk.psums;
        same_shape_ = true;
        length_ = unsigned(p_ * q_ * taps_);
        psums_ = unsigned(depthwise_ ? p_ * q_ : p_);
    }

    // `occupied_` bars the next tile at once; `full` waits until the last psum is written.
    void track_banks(unsigned drained) {
        const bool ended = step_end && leaving().valid && leaving().tile_end;
        for (unsigned k = 0; k < 2; ++k) {
            if (filled_banks_[k][FULL_DELAY - 1]) full |= 1u << k;
            const bool filled_now = ended && leaving().memory == k;
            if (filled_now || !filled_banks_[k].idle()) filled_banks_[k].shift(filled_now);
            if (filled_now) occupied_ |= 1u << k;
        }
        full &= ~drained;
        occupied_ &= ~drained;
    }
};

}  // namespace eyas::timing
