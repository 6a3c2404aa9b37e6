// hw/filter_fetch.py: a row's filter blocks, from GLB requests to values on its X-bus.

#pragma once

#include "unit_walker.h"

namespace eyas::timing {

class FilterFetch {
  public:
    bool busy = false, fresh = false;
    unsigned banks_taken = 0;
    Unit unit;

    explicit FilterFetch(const Config &config)
        : columns_(config.cols < 32 ? (1u << config.cols) - 1 : ~0u) {}

    bool ready(const Unit &next) const { return !busy && (banks_taken != 2 || !next.active); }

    // A unit comes. Returns whether it is passed over.
    bool start(const Unit &next) {
        if (next.active) {
            unit = next;
            busy = fresh = true;
            ++banks_taken;
        }
        return !next.active;
    }

    // The cycle behind that. cycle: the number of the next one.
    void load(uint64_t cycle) {
        fresh = false;
        address_ = unit.filter;
        words_left_ = unit.slot->unit.unit_words;
        sets_left_ = unit.slot->walk.wm;
        take_mask(unit.slot->unit.filter_mask & columns_, cycle);
    }

    bool request() const { return busy && !fresh && words_left_ != 0 && waiting_ != QUEUE_WORDS; }
    uint32_t address() const { return address_; }
    void asked() { ++address_, --words_left_, ++waiting_; }
    void arrive() { ++words_; }

    bool have() const { return words_ != 0; }
    // The last value of a set waits until the mask of the next one is known.
    bool can_send(uint64_t cycle) const {
        return value_ != unit.slot->unit.filters - 1 || cycle >= shifted_ || sets_left_ == 1;
    }

    // Sends a value to `takers` columns. Returns whether it was the unit's last one.
    bool send(uint64_t cycle, unsigned &takers) {
        takers = takers_;
        const bool last_value = value_ == unit.slot->unit.filters - 1;
        if (last_value || value_ % 8 == 7) --words_, --waiting_;
        if (!last_value) return ++value_, false;
        value_ = 0;
        if (sets_left_-- == 1) {
            busy = false;
            return true;
        }
        take_mask(next_mask_, cycle + 1);
        return false;
    }

  private:
    static constexpr unsigned QUEUE_WORDS = 4;
    const uint32_t columns_;
    uint32_t address_ = 0, mask_ = 0, next_mask_ = 0;
    unsigned takers_ = 0;  // columns that mask_ names
    int words_left_ = 0, sets_left_ = 0, value_ = 0;
    unsigned waiting_ = 0, words_ = 0;
    uint64_t shifted_ = 0;  // cycle from which on next_mask_ names the next filter set's columns

    // From `cycle` on; the mask behind it is shifted by a column a cycle.
    void take_mask(uint32_t mask, uint64_t cycle) {
        mask_ = mask;
        takers_ = unsigned(__builtin_popcount(mask));
        next_mask_ = mask << 1 & columns_;
        for (shifted_ = cycle; mask_ & next_mask_; ++shifted_) next_mask_ = next_mask_ << 1 & columns_;
    }
};

}  // namespace eyas::timing
