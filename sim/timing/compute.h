// hw/compute.py: takes segments into tile slots, and reports when they have ended.

#pragma once

#include "array_core.h"
#include "drain.h"

namespace eyas::timing {

class ComputeEngine {
  public:
    ArrayCore core;
    Drain drain;

    // Of this cycle.
    bool command_ready = false, busy = false;
    bool fenced = false;          // the next segment waits for the drain
    bool ended_for_load = false;  // the GLB has been read for the segment's last word
    bool ended_for_store = false;

    ComputeEngine(const Config &config, Counters &counters)
        : core(config, counters), drain(config, counters), config_(config), counters_(counters) {
        ends_.depth = 2 * TILES_IN_FLIGHT;
    }

    void evaluate(const Command *command) {
        core.evaluate();
        drain.evaluate(core.gate.full);
        accept(command);
        retire();
        ended_for_store = ends_.readable() && (!ends_.front() || written_ != 0);
        busy = in_use_ || tiles_ || ends_.readable() || drain.busy();
    }

    void update(const Command *command, const BankReads *ifmap_banks, const BankReads *filter_banks,
                uint64_t cycle) {
        const bool take = command && !command->is_set() && command_ready;
        const bool tile_taken = take && tile_.last;
        const uint32_t announced = announced_;
        announced_ = take ? 1u << target_ : 0;
        if (command && command->is_set()) set(*command);
        if (take) fill_slot();
        const bool params_read = drain.params_read(), written = drain.written();
        core.update(announced, drain.drained(), ifmap_banks, filter_banks, cycle);
        drain.update(tile_taken ? &drain_tile_ : nullptr);

        const uint32_t released = retired_ & computed_;
        if (ended_for_load) {
            counters_.add(fields::USEFUL_MACS, uint32_t(core.slots[oldest_].tile.useful_macs));
            retired_ |= 1u << oldest_;
            oldest_ = (oldest_ + 1) % config_.tile_slots;
        }
        retired_ &= ~released;
        computed_ = (computed_ | computed_now_) & ~released;
        in_use_ = (in_use_ | announced_) & ~released;
        params_read_ += unsigned(params_read) - unsigned(ended_for_load && last_);
        if (ended_for_store) {
            written_ -= ends_.front();
            ends_.pop();
        }
        if (ended_for_load) ends_.push(last_);
        written_ += written;
        tiles_ += unsigned(tile_taken) - unsigned(written);
    }

  private:
    static constexpr unsigned TILES_IN_FLIGHT = 8;
    const Config config_;
    Counters &counters_;
    // The shadow registers.
    fields::Walk walk_{};
    fields::Unit unit_{};
    fields::Drain drain_{};
    fields::Merge merge_{};
    const Command *offered_ = nullptr;
    fields::Tile tile_{};  // of that command
    DrainTile drain_tile_;
    unsigned target_ = 0, oldest_ = 0;
    uint32_t in_use_ = 0, computed_ = 0, retired_ = 0, announced_ = 0, computed_now_ = 0;
    unsigned params_read_ = 0, written_ = 0, tiles_ = 0;
    bool last_ = false;
    Fifo<uint8_t, 16> ends_;

    void accept(const Command *command) {
        command_ready = fenced = false;
        if (!command) return;
        command_ready = command->is_set();
        if (command_ready) return;
        if (command != offered_) tile_ = fields::Tile::unpack(command->payload);
        offered_ = command;
        const bool room = drain.ready() && tiles_ != TILES_IN_FLIGHT;
        fenced = tile_.fence && tiles_ != 0;
        command_ready = !(in_use_ >> target_ & 1) && !fenced && (!tile_.last || room);
    }

    void set(const Command &command) {
        switch (command.header.block) {
            case 1: walk_ = fields::Walk::unpack(command.payload); break;
            case 2: unit_ = fields::Unit::unpack(command.payload); break;
            case 3: drain_ = fields::Drain::unpack(command.payload); break;
            case 4:
                if (config_.merge) merge_ = fields::Merge::unpack(command.payload);
                break;
        }
    }

    void fill_slot() {
        core.slots[target_] = {tile_, walk_, unit_};
        drain_tile_ = {tile_, walk_, drain_, merge_, unit_.columns};
        target_ = (target_ + 1) % config_.tile_slots;
    }

    // In order: a segment has ended when its GLB data has been read.
    void retire() {
        computed_now_ = core.gate.computed;
        ended_for_load = false;
        if (!in_use_) return;
        last_ = core.slots[oldest_].tile.last;
        const uint32_t waits = in_use_ & ~announced_ & ~retired_ & core.fetched();
        ended_for_load = (waits >> oldest_ & 1) && (!last_ || params_read_ != 0);
    }
};

}  // namespace eyas::timing
