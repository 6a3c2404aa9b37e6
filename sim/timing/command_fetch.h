// hw/command_fetch.py: asks memory for command after command.

#pragma once

#include <algorithm>

#include "config.h"

namespace eyas::timing {

constexpr unsigned COMMAND_BYTES = 32;

class CommandFetch {
  public:
    const unsigned command_beats, burst_beats;

    explicit CommandFetch(const Config &config)
        : command_beats(COMMAND_BYTES / config.bus_bytes),
          burst_beats(std::min(command_beats, config.burst_beats)),
          pieces_(command_beats / burst_beats), burst_bytes_(burst_beats * config.bus_bytes),
          depth_(config.queue_depth) {}

    void start(uint32_t address, uint32_t length) {
        address_ = address;
        left_ = length;
        piece_ = 0;
        slots_ = depth_;
    }

    bool ar_valid() const { return asked_; }
    uint32_t ar_address() const { return address_; }
    bool busy() const { return asked_ || flying_ != 0; }
    // Whether nothing is asked for until a slot is free.
    bool idle() const { return !busy() && (left_ == 0 || slots_ == 0); }
    bool exhausted() const { return left_ == 0 && !busy(); }

    // arrived: a burst's last beat is taken. freed: a fetched command has left its slot.
    void update(bool run, bool ar_ready, bool arrived, bool freed) {
        const bool ask = run && !asked_ && piece_ == 0 && left_ != 0 && slots_ != 0;
        flying_ += unsigned(asked_ && ar_ready) - unsigned(arrived);
        slots_ += unsigned(freed) - unsigned(ask);
        if (ask || (run && !asked_ && piece_ != 0)) {
            asked_ = true;
        } else if (asked_ && ar_ready) {
            asked_ = false;
            address_ += burst_bytes_;
            const bool final = piece_ + 1 == pieces_;
            piece_ = final ? 0 : piece_ + 1;
            if (final) --left_;
        }
    }

  private:
    const unsigned pieces_, burst_bytes_, depth_;
    uint32_t address_ = 0, left_ = 0;
    unsigned piece_ = 0, slots_ = 0, flying_ = 0;
    bool asked_ = false;
};

}  // namespace eyas::timing
