// hw/row_controller.py: a row's fetchers, its queue of units, and its present pass.

#pragma once

#include <algorithm>

#include "filter_fetch.h"
#include "ifmap_fetch.h"

namespace eyas::timing {

class RowController {
  public:
    IfmapFetch ifmaps;
    FilterFetch filters;
    // The row's present pass.
    bool known = false, active = false;
    unsigned present = 0;  // ifmap positions in the ring
    unsigned loaded = 0;   // filter banks

    explicit RowController(const Config &config)
        : ifmaps(config), filters(config), depth_(std::max(PASS_QUEUE, config.rows)) {}

    // One queue of units with three readers: each has its own place in it.
    bool takes_unit() const {
        return dealt_ - next_ifmap_ != depth_ && dealt_ - next_filter_ != depth_ &&
               dealt_ - next_pass_ != depth_;
    }
    void deal(const Unit &unit) { units_[dealt_++ % MOST_ROWS] = unit; }
    bool ifmap_unit() const { return dealt_ != next_ifmap_ && !ifmaps.walker.busy; }
    bool filter_unit() const {
        return dealt_ != next_filter_ && filters.ready(units_[next_filter_ % MOST_ROWS]);
    }
    bool pass_unit() const { return dealt_ != next_pass_; }
    const Unit &take_ifmap_unit() { return units_[next_ifmap_++ % MOST_ROWS]; }
    const Unit &take_filter_unit() { return units_[next_filter_++ % MOST_ROWS]; }

    // The next pass, if one is known.
    void next_pass() {
        known = pass_unit();
        if (!known) return;
        const Unit &unit = units_[next_pass_++ % MOST_ROWS];
        active = unit.active;
        slot_ = unit.slot;
    }

    bool ifmaps_ready() const {
        return known && (!active || present >= unsigned(slot_->walk.span));
    }
    bool filters_ready() const { return !known || !active || loaded != 0; }

    // The row's step ends: gives back what it needs no more.
    void end_step(bool last_step) {
        if (active && known) {
            const fields::Walk &walk = slot_->walk;
            const fields::Unit &unit = slot_->unit;
            present -= unsigned(last_step ? walk.span : walk.advance);
            ifmaps.walker.free += unsigned(last_step ? unit.span_beats : unit.advance_beats);
            if (last_step) --loaded, --filters.banks_taken;
        }
        if (last_step) next_pass();
    }

  private:
    static constexpr unsigned PASS_QUEUE = 4;
    const unsigned depth_;
    Unit units_[MOST_ROWS];
    unsigned dealt_ = 0, next_ifmap_ = 0, next_filter_ = 0, next_pass_ = 0;
    const Slot *slot_ = nullptr;  // of the present pass
};

}  // namespace eyas::timing
