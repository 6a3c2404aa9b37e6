// hw/descriptor_walker.py: a LOAD or STORE cut into AXI bursts.

#pragma once

#include "commands.h"
#include "config.h"

namespace eyas::timing {

struct Burst {
    uint32_t memory = 0;  // word of memory
    uint32_t glb = 0;
    uint32_t words = 0;
    bool last = false;  // of its command
    bool empty = false;
};

class DescriptorWalker {
  public:
    bool valid = false;  // a burst is on offer
    Burst burst;
    bool active = false;

    explicit DescriptorWalker(const Config &config)
        : longest_(config.burst_beats * config.bus_bytes / WORD_BYTES) {}

    // With the command on offer, or null; it must hold still until `command_ready`.
    void evaluate(const Command *command) {
        set_ = command && command->is_set();
        active = command && !set_;
        valid = false;
        if (state_ == START) {
            if (!active) return;
            fields_ = fields::Descriptor::unpack(command->payload);
            nothing_ = !fields_.n0 || !fields_.n1 || !fields_.n2;
            valid = nothing_;
            burst = {0, 0, 0, true, true};
        } else if (state_ == BURST) {
            valid = true;
            burst = {memory_.burst, glb_.burst & 0xFFFF, cut(), false, false};
            burst.last = final_run_ && left_ == burst.words;
        }
    }

    bool command_ready(bool burst_ready) const {
        return set_ || (valid && burst_ready && burst.last);
    }
    const fields::Descriptor &descriptor() const { return fields_; }

    void update(bool burst_ready) {
        const bool taken = valid && burst_ready;
        const bool block_ends = runs_ == 1;
        if (state_ == START) {
            if (!active) return;
            memory_.start(fields_.memory_address / WORD_BYTES);
            glb_.start(uint32_t(fields_.glb_address));
            runs_ = uint32_t(fields_.n1);
            blocks_ = uint32_t(fields_.n2);
            if (!nothing_) state_ = RUN;
        } else if (state_ == RUN) {
            memory_.next_run(block_ends, fields_.memory_stride1 / WORD_BYTES,
                             fields_.memory_stride2 / WORD_BYTES);
            glb_.next_run(block_ends, uint32_t(fields_.glb_stride1), uint32_t(fields_.glb_stride2));
            left_ = uint32_t(fields_.n0);
            final_run_ = block_ends && blocks_ == 1;
            if (block_ends) --blocks_;
            runs_ = block_ends ? uint32_t(fields_.n1) : runs_ - 1;
            state_ = BURST;
        } else if (taken) {
            const bool run_ends = left_ == burst.words;
            left_ -= burst.words;
            memory_.burst += burst.words;
            glb_.burst += burst.words;
            if (run_ends) state_ = final_run_ ? START : RUN;
        }
    }

  private:
    static constexpr uint32_t PAGE_WORDS = 4096 / WORD_BYTES;

    // The address of the present burst, of the next run, and of the block that it belongs to.
    struct Address {
        uint32_t burst = 0, run = 0, block = 0;

        void start(uint32_t base) { run = block = base; }
        void next_run(bool block_ends, uint32_t stride1, uint32_t stride2) {
            burst = run;
            run = block_ends ? block + stride2 : run + stride1;
            if (block_ends) block = run;
        }
    };
    enum State { START, RUN, BURST } state_ = START;
    const uint32_t longest_;
    fields::Descriptor fields_{};
    bool set_ = false, nothing_ = false, final_run_ = false;
    uint32_t left_ = 0, runs_ = 0, blocks_ = 0;
    Address memory_, glb_;

    uint32_t cut() const {
        const uint32_t size = left_ >= longest_ ? longest_ : left_;
        const uint32_t room = longest_ - memory_.burst % longest_;
        const bool at_page_end = memory_.burst % PAGE_WORDS >= PAGE_WORDS - longest_;
        return at_page_end && size > room ? room : size;
    }
};

}  // namespace eyas::timing
