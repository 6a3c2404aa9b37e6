// hw/dma_load.py: memory to GLB.

#pragma once

#include "../memory_model.h"
#include "descriptor_walker.h"
#include "queues.h"

namespace eyas::timing {

class LoadEngine {
  public:
    DescriptorWalker walker;

    explicit LoadEngine(const Config &config)
        : walker(config), narrow_(config.bus_bytes < WORD_BYTES), completes_(!narrow_) {
        records_.depth = config.outstanding;
    }

    // The word that waits for the GLB.
    bool write_valid() const { return waiting_ && write_; }
    bool to_filters() const { return to_filters_; }
    uint32_t write_address() const { return address_; }

    // Of this cycle.
    bool ar_valid = false, r_ready = false, ended = false, word = false, busy = false;
    bool command_ready = false;

    uint32_t ar_beats() const { return walker.burst.words << unsigned(narrow_); }

    // granted: by the bank of the word that waits. The memory's answer is for LOAD.
    void evaluate(const Command *command, bool granted) {
        walker.evaluate(command);
        busy = walker.active || records_.readable() || waiting_;
        ar_valid = walker.valid && !walker.burst.empty && records_.writable();
        ready_ = !waiting_ || !write_ || granted;
        const bool record = records_.readable() && !records_.front().empty;
        r_ready = (ready_ || !completes_) && record;
        word = waiting_ && write_ && granted;
        ended = waiting_ && ready_ && last_;
    }

    // Once the address channel is known: whether the walker's burst goes.
    void accept(bool ar_ready) {
        burst_ready_ = records_.writable() && (walker.burst.empty || ar_ready);
        command_ready = walker.command_ready(burst_ready_);
    }

    void update(bool r_valid, const Subordinate &r) {
        if (!busy) return;
        const bool some = records_.readable();
        const Record record = records_.front();
        const bool taken = r_valid && r_ready;
        const bool completed = taken && completes_;
        if (ready_) {
            waiting_ = some && (record.empty || completed);
            write_ = !record.empty;
            to_filters_ = record.filter;
            last_ = record.last && (record.empty || r.rlast);
            address_ = record.glb + index_;
        }
        if (completed) index_ = r.rlast ? 0 : index_ + 1;
        if (narrow_ && taken) completes_ = !completes_;
        if (some && ((ready_ && record.empty) || (taken && r.rlast))) records_.pop();
        if (walker.valid && burst_ready_) {
            const bool filter = walker.descriptor().space == fields::SPACE_FILTER;
            records_.push({walker.burst.glb, filter, walker.burst.last, walker.burst.empty});
        }
        walker.update(burst_ready_);
    }

  private:
    struct Record {
        uint32_t glb;
        bool filter, last, empty;
    };
    const bool narrow_;
    Fifo<Record, 32> records_;
    bool ready_ = false, burst_ready_ = false;
    bool completes_;  // the next beat completes a word
    uint32_t index_ = 0;
    bool waiting_ = false, write_ = false, to_filters_ = false, last_ = false;
    uint32_t address_ = 0;
};

}  // namespace eyas::timing
