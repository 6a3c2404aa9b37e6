// hw/array_core.py: the array with everything that keeps it fed.
//
// What can happen in a row in the next cycle stands in masks with a bit for each row, and only rows
// to which something happens are looked at: `refresh` brings the bits of such a row up to date.

#pragma once

#include <vector>

#include "counters.h"
#include "glb.h"
#include "row_controller.h"
#include "step_gate.h"

namespace eyas::timing {

class ArrayCore {
  public:
    Slot slots[MOST_SLOTS];
    UnitWalker walker;
    StepGate gate;
    std::vector<RowController> rows;
    // Rows that ask each bank for a word.
    uint32_t ifmap_requests[MOST_PORTS] = {}, filter_requests[MOST_PORTS] = {};

    ArrayCore(const Config &config, Counters &counters)
        : walker(config, slots), gate(config, slots), rows(config.rows, RowController(config)),
          config_(config), counters_(counters),
          all_rows_(config.rows < 32 ? (1u << config.rows) - 1 : ~0u),
          all_fetched_((uint64_t(1) << config.rows << (config.rows - 1) << 1) - 1) {
        touched_ifmaps_ = touched_filters_ = all_rows_;
        refresh();
    }

    // Slots for which the GLB has been read for the last word.
    uint32_t fetched() const { return fetched_; }

    void evaluate() {
        if (gate.running && gate.begin) {
            bool ifmaps = true, filters = true;
            for (unsigned r = 0; r < config_.rows; ++r) {
                if (!gate.stage(r).valid) continue;
                ifmaps &= rows[r].ifmaps_ready();
                filters &= rows[r].filters_ready();
            }
            gate.evaluate(ifmaps, filters);
            if (gate.go) count_active_macs();
        } else {
            gate.evaluate(true, true);
        }
        deals_ = walker.walking && rows[walker.row].takes_unit();
    }

    // announced: slots that hold a new segment since this cycle. Banks say whom they have granted a
    // request, and whose words arrive. cycle: the number of the next one.
    void update(uint32_t announced, unsigned drained, const BankReads *ifmap_banks,
                const BankReads *filter_banks, uint64_t cycle) {
        count();
        move_ifmaps(ifmap_banks);
        move_filters(filter_banks, cycle);
        if (gate.step_end) end_step();
        for_rows(unknown_, touched_ifmaps_, [](unsigned, RowController &row) { row.next_pass(); });
        if (deals_) {
            rows[walker.row].deal(walker.unit);
            touched_ifmaps_ |= 1u << walker.row;
            touched_filters_ |= 1u << walker.row;
        }
        walker.update(deals_, announced);
        gate.update(announced, drained);
        for (uint32_t left = announced; left; left &= left - 1) done_[__builtin_ctz(left)] = 0;
        fetched_ &= ~announced;
        refresh();
    }

  private:
    const Config config_;
    Counters &counters_;
    const uint32_t all_rows_;
    const uint64_t all_fetched_;
    uint64_t done_[MOST_SLOTS] = {};  // bit 2 r: row r's ifmaps of the slot, bit 2 r + 1: its filters
    bool deals_ = false;
    unsigned active_macs_ = 0;  // of each micro-cycle of the present step
    uint32_t fetched_ = 0;
    uint32_t touched_ifmaps_ = 0, touched_filters_ = 0, unknown_ = 0;
    uint32_t padding_ = 0, ifmap_fresh_ = 0, ifmap_units_ = 0, beats_ = 0;
    uint32_t filter_fresh_ = 0, filter_units_ = 0, values_ = 0;
    uint32_t arrived_ = 0, loaded_ = 0;  // a position, a filter bank: on the bus in this cycle
    unsigned bus_beats_ = 0, bus_values_ = 0, bus_takers_ = 0;  // on all buses in this cycle

    template <typename Action> void for_rows(uint32_t mask, uint32_t &touched, Action action) {
        touched |= mask;
        for (; mask; mask &= mask - 1) {
            const unsigned r = unsigned(__builtin_ctz(mask));
            action(r, rows[r]);
        }
    }

    // `present` and `loaded` decide nothing that a mask says.
    template <typename Action> void count_rows(uint32_t mask, Action action) {
        for (; mask; mask &= mask - 1) action(rows[unsigned(__builtin_ctz(mask))]);
    }

    void fetched(unsigned row, unsigned what, const Unit &unit) {
        if (!unit.last) return;
        uint64_t &done = done_[unit.slot_number];
        done |= uint64_t(1) << (2 * row + what);
        if (done == all_fetched_) fetched_ |= 1u << unit.slot_number;
    }

    void count_active_macs() {
        active_macs_ = 0;
        for (unsigned r = 0; r < config_.rows; ++r)
            if (gate.stage(r).valid && rows[r].known && rows[r].active)
                active_macs_ += gate.stage(r).columns;
    }

    void count() {
        if (gate.go) {
            counters_.add(fields::ARRAY_BUSY, 1);
            counters_.add(fields::ACTIVE_MACS, active_macs_);
        }
        if (gate.emitted) counters_.add(fields::NOC_PSUMS, gate.leaving().columns);
        counters_.add(fields::NOC_IFMAP_BEATS, bus_beats_);
        counters_.add(fields::NOC_FILTER_VALUES, bus_values_);
        counters_.add(fields::SPAD_WRITES, bus_takers_);
        bus_beats_ = bus_values_ = bus_takers_ = 0;
    }

    void move_ifmaps(const BankReads *banks) {
        count_rows(arrived_, [](RowController &row) { ++row.present; });
        arrived_ = 0;
        const auto take = [this](unsigned r, RowController &row) {
            if (row.ifmaps.take()) fetched(r, 0, row.ifmaps.walker.unit);
        };
        const uint32_t starting = ifmap_units_, fresh = ifmap_fresh_;
        for_rows(beats_, touched_ifmaps_, [this](unsigned r, RowController &row) {
            unsigned takers;
            if (row.ifmaps.send(takers)) arrived_ |= 1u << r;
            bus_beats_ += takers != 0;
            bus_takers_ += takers;
        });
        for_rows(padding_, touched_ifmaps_, take);
        for (unsigned bank = 0; bank < config_.ifmap_ports; ++bank) {
            const int asked = banks[bank].granted, answered = banks[bank].arriving();
            if (unsigned(asked) < MOST_ROWS) for_rows(1u << asked, touched_ifmaps_, take);
            if (unsigned(answered) < MOST_ROWS)
                for_rows(1u << answered, touched_ifmaps_, [](unsigned, RowController &row) { row.ifmaps.arrive(); });
        }
        for_rows(fresh, touched_ifmaps_, [](unsigned, RowController &row) { row.ifmaps.walker.load(); });
        for_rows(starting, touched_ifmaps_, [this](unsigned r, RowController &row) {
            const Unit &unit = row.take_ifmap_unit();
            if (row.ifmaps.walker.start(unit)) fetched(r, 0, unit);
        });
    }

    void move_filters(const BankReads *banks, uint64_t cycle) {
        count_rows(loaded_, [](RowController &row) { ++row.loaded; });
        loaded_ = 0;
        const uint32_t starting = filter_units_, fresh = filter_fresh_;
        for_rows(values_, touched_filters_, [this, cycle](unsigned r, RowController &row) {
            if (!row.filters.can_send(cycle - 1)) return;
            unsigned takers;
            if (row.filters.send(cycle - 1, takers)) {
                loaded_ |= 1u << r;
                fetched(r, 1, row.filters.unit);
            }
            bus_values_ += takers != 0;
            bus_takers_ += takers;
        });
        for (unsigned bank = 0; bank < config_.filter_ports; ++bank) {
            const int asked = banks[bank].granted, answered = banks[bank].arriving();
            if (unsigned(asked) < MOST_ROWS)
                for_rows(1u << asked, touched_filters_, [](unsigned, RowController &row) { row.filters.asked(); });
            if (unsigned(answered) < MOST_ROWS)
                for_rows(1u << answered, touched_filters_, [](unsigned, RowController &row) { row.filters.arrive(); });
        }
        for_rows(fresh, touched_filters_, [cycle](unsigned, RowController &row) { row.filters.load(cycle); });
        for_rows(starting, touched_filters_, [this](unsigned r, RowController &row) {
            const Unit &unit = row.take_filter_unit();
            if (row.filters.start(unit)) fetched(r, 1, unit);
        });
    }

    void end_step() {
        for (unsigned r = 0; r < config_.rows; ++r)
            if (gate.stage(r).valid) rows[r].end_step(gate.stage(r).last_step);
        touched_ifmaps_ = touched_filters_ = all_rows_;
    }

    void refresh() {
        if (touched_ifmaps_) {
            for (unsigned bank = 0; bank < config_.ifmap_ports; ++bank)
                ifmap_requests[bank] &= ~touched_ifmaps_;
            clear(touched_ifmaps_, padding_, ifmap_fresh_, ifmap_units_, beats_, unknown_);
            for (; touched_ifmaps_; touched_ifmaps_ &= touched_ifmaps_ - 1)
                refresh_ifmaps(unsigned(__builtin_ctz(touched_ifmaps_)));
        }
        if (touched_filters_) {
            for (unsigned bank = 0; bank < config_.filter_ports; ++bank)
                filter_requests[bank] &= ~touched_filters_;
            clear(touched_filters_, filter_fresh_, filter_units_, values_);
            for (; touched_filters_; touched_filters_ &= touched_filters_ - 1)
                refresh_filters(unsigned(__builtin_ctz(touched_filters_)));
        }
    }

    template <typename... Masks> static void clear(uint32_t rows, Masks &...masks) {
        ((masks &= ~rows), ...);
    }

    void refresh_ifmaps(unsigned r) {
        const RowController &row = rows[r];
        const IfmapWalker &ifmaps = row.ifmaps.walker;
        const uint32_t bit = 1u << r;
        if (row.ifmaps.possible()) {
            if (ifmaps.pad())
                padding_ |= bit;
            else
                ifmap_requests[ifmaps.address() & (config_.ifmap_ports - 1)] |= bit;
        }
        if (ifmaps.fresh) ifmap_fresh_ |= bit;
        if (row.ifmap_unit()) ifmap_units_ |= bit;
        if (row.ifmaps.have()) beats_ |= bit;
        if (!row.known && row.pass_unit()) unknown_ |= bit;
    }

    void refresh_filters(unsigned r) {
        const RowController &row = rows[r];
        const FilterFetch &filters = row.filters;
        const uint32_t bit = 1u << r;
        if (filters.request())
            filter_requests[filters.address() & (config_.filter_ports - 1)] |= bit;
        if (filters.fresh) filter_fresh_ |= bit;
        if (row.filter_unit()) filter_units_ |= bit;
        if (filters.have()) values_ |= bit;
    }
};

}  // namespace eyas::timing
