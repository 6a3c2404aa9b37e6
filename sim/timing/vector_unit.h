// hw/vector_unit.py: pooling from GLB to GLB.

#pragma once

#include "config.h"
#include "window_walker.h"

namespace eyas::timing {

class VectorUnit {
  public:
    bool running = false;

    bool ready() const { return !running; }
    bool done() const {
        return running && !start_ && !walker_.busy() && !walker_.valid && !reading_ && !unwritten_;
    }
    // Requests to the GLB.
    bool read_valid() const { return may_go() && !window_.empty; }
    uint32_t read_address() const { return window_.address; }
    bool write_valid() const { return write_valid_; }
    uint32_t write_address() const { return offered_; }

    // command: one that is taken, or null. Grants of the banks that are asked.
    void update(const Command *command, bool read_granted, bool write_granted) {
        if (!running) {
            if (command && command->header.opcode == fields::VECTOR) {
                tile_ = fields::VectorTile::unpack(command->payload);
                start_ = running = true;
            } else if (command && command->is_set() && command->header.block == 1) {
                shape_ = fields::VectorWindow::unpack(command->payload);
            }
            return;
        }
        const bool ends = done();
        const bool transfer = may_go() && (window_.empty || read_granted);
        const bool finish = transfer && last(), leaves = write_valid_ && write_granted;
        const uint32_t out_address = window_.out_address;
        const bool next = !reading_ || finish;
        const bool offered = walker_.valid;
        const Window window = walker_.window;
        walker_.update(start_, next, tile_, shape_);
        start_ = false;
        if (next) {
            reading_ = offered;
            window_ = window;
            line_ = window.address;
            tap_ = window.first;
        } else if (transfer && tap_ == window_.last) {
            line_ += uint32_t(tile_.in_pitch);
            window_.address = line_;
            tap_ = window_.first;
            --window_.lines;
        } else if (transfer) {
            ++window_.address;
            ++tap_;
        }
        store_results(finish, out_address, write_granted);
        unwritten_ += unsigned(finish) - unsigned(leaves);
        if (ends) running = false;
    }

  private:
    static constexpr unsigned RESULT_SLOTS = 2;
    WindowWalker walker_;
    fields::VectorTile tile_{};
    fields::VectorWindow shape_{};
    Window window_;  // being read
    uint32_t line_ = 0;
    int tap_ = 0;
    bool start_ = false, reading_ = false;
    unsigned unwritten_ = 0;
    bool last_then_[GLB_READ_LATENCY] = {};
    uint32_t address_then_[GLB_READ_LATENCY] = {};
    bool waiting_ = false, write_valid_ = false;
    uint32_t newest_ = 0, offered_ = 0;

    bool last() const { return window_.empty || (tap_ == window_.last && window_.lines == 1); }
    bool may_go() const { return reading_ && (!last() || unwritten_ != RESULT_SLOTS); }

    void store_results(bool finish, uint32_t address, bool granted) {
        if (!write_valid_ || granted) {
            write_valid_ = waiting_;
            offered_ = newest_;
            waiting_ = false;
        }
        if (last_then_[1]) {
            waiting_ = true;
            newest_ = address_then_[1];
        }
        last_then_[1] = last_then_[0], address_then_[1] = address_then_[0];
        last_then_[0] = finish, address_then_[0] = address;
    }
};

}  // namespace eyas::timing
