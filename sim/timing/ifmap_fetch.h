// hw/ifmap_fetch.py: a row's ifmap words, from GLB requests to beats on its X-bus.

#pragma once

#include "ifmap_walker.h"
#include "queues.h"

namespace eyas::timing {

class IfmapFetch {
  public:
    IfmapWalker walker;

    explicit IfmapFetch(const Config &config) : walker(config) {}

    // Whether the walker's word may be asked for (or is padding).
    bool possible() const { return walker.valid() && order_.writable() && waiting_ != QUEUE_WORDS; }

    // The walker's word is granted, or is padding. Returns whether it was the unit's last one.
    bool take() {
        const BeatOrder order = walker.order();
        order_.push(order);
        waiting_ += !order.pad;
        return walker.take();
    }

    void arrive() { ++words_; }  // a word from the GLB

    // Whether there is a beat to send.
    bool have() const { return order_.readable() && (order_.front().pad || words_); }

    // Sends a beat to `takers` columns. Returns whether it is the last one of a position.
    bool send(unsigned &takers) {
        const BeatOrder order = order_.front();
        takers = order.takers;
        if (order.both_halves && !second_) {
            second_ = true;
            return false;
        }
        second_ = false;
        order_.pop();
        if (!order.pad) --words_, --waiting_;
        return order.position_end;
    }

  private:
    static constexpr unsigned QUEUE_WORDS = 8;
    Fifo<BeatOrder, QUEUE_WORDS> order_;
    unsigned waiting_ = 0;  // words asked for and not yet sent on
    unsigned words_ = 0;    // of these, arrived
    bool second_ = false;   // the word's lower half has been sent
};

}  // namespace eyas::timing
