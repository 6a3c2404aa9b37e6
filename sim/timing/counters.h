// hw/counters.py, hw/top_events.py, hw/array_events.py: the hardware counters, and what they see when
// a STORE reads them in the middle of a program.

#pragma once

#include <cstring>

#include "command_fields.h"
#include "config.h"

namespace eyas::timing {

class Counters {
  public:
    uint64_t totals[fields::COUNTERS] = {};

    // odd: whether the first cycle is one in which a counter can be visited.
    Counters(const Config &config, bool odd) : exist_(config.counter_width != 0), visit_(odd) {}

    void add(fields::Counter counter, uint64_t count) { totals[counter] += count; }

    // A request to read is granted in the cycle of a visit, every second one of them.
    bool grants() const { return !exist_ || (visit_ && readers_turn_); }
    // What the answer to a request in this cycle will be, but that the model's counters never wrap.
    uint64_t read(uint32_t number) const {
        if (number >= fields::COUNTERS) return 0;
        return history_[(newest_ - delay(number)) % HISTORY][number];
    }

    // reading: a request is granted. record: requests may come in a few cycles.
    void update(bool reading, bool record) {
        if (record) std::memcpy(history_[newest_ % HISTORY], totals, sizeof totals);
        ++newest_;
        if (visit_) readers_turn_ = !reading;
        visit_ = !visit_;
    }

  private:
    static constexpr unsigned HISTORY = 8;
    const bool exist_;
    bool visit_, readers_turn_ = true;
    unsigned newest_ = 0;
    uint64_t history_[HISTORY][fields::COUNTERS] = {};

    // Cycles from an event until a visit sees it: those of the array pass one or two registers more.
    static unsigned delay(uint32_t number) {
        switch (number) {
            case fields::NOC_PSUMS: return 3;
            case fields::ACTIVE_MACS:
            case fields::SPAD_WRITES:
            case fields::GLB_READS:
            case fields::GLB_WRITES:
            case fields::NOC_IFMAP_BEATS:
            case fields::NOC_FILTER_VALUES: return 4;
            default: return 2;
        }
    }
};

}  // namespace eyas::timing
