// hw/ofmap_walker.py, hw/ofmap_place.py: a tile's values, and where each has its place in the ofmap.

#pragma once

#include "drain_columns.h"

namespace eyas::timing {

// What all lanes share: the place in the order, and what follows.
struct DrainStep {
    bool load = false;  // the columns hold for the values to come
    bool take = false;  // a value is dealt with
    bool last_channel = false;
    int next_channel = 0, next_position = 0;
    uint32_t distance = 0;  // to the next word
};

class OfmapPlace {
  public:
    uint32_t address = 0;
    unsigned byte = 0;

    bool word_end(const DrainStep &step) const { return step.last_channel || byte == 7; }
    bool valid() const { return position_valid_ && channel_valid_; }

    void update(const DrainStep &step, const OfmapColumn &column) {
        if (step.load) {
            address = position_ = column.address;
            byte = first_byte_ = column.byte;
            positions_ = column.positions, channels_ = column.channels;
            position_valid_ = positions_ != 0, channel_valid_ = channels_ != 0;
        } else if (step.take && step.last_channel) {
            address = position_ += step.distance;
            byte = first_byte_;
            channel_valid_ = channels_ != 0;
            if (step.next_position == positions_) position_valid_ = false;
        } else if (step.take) {
            if (byte == 7) address += step.distance;
            byte = (byte + 1) % 8;
            if (step.next_channel == channels_) channel_valid_ = false;
        }
    }

  private:
    uint32_t position_ = 0;
    unsigned first_byte_ = 0;
    int positions_ = 0, channels_ = 0;
    bool position_valid_ = false, channel_valid_ = false;
};

class OfmapWalker {
  public:
    DrainStep step;  // of this cycle; `take` is for the user to set
    OfmapColumns columns;

    explicit OfmapWalker(const Config &config) : columns(config), order_(config) {}

    bool idle() const { return state_ == IDLE; }
    bool ready() const { return state_ == TAKE; }  // there is a value to take
    bool done() const { return state_ == DONE; }   // the last value of the tile has been taken

    void evaluate(const DrainTile *tile) {
        step.take = false;
        step.load = state_ == NEXT_GROUP && columns.ready();
        if (!tile) return;
        step.last_channel = order_.last_channel(*tile);
        step.next_channel = order_.channel + 1;
        step.next_position = order_.position + 1;
        step.distance = step.last_channel ? 1 : uint32_t(tile->drain.ofmap_plane);
    }

    // base: address of the tile's first word. release: go on with the next tile.
    void update(const DrainTile *tile, uint32_t base, bool release) {
        if (!tile) return;
        const bool start = state_ == IDLE;
        switch (state_) {
            case IDLE:
                order_.restart();
                state_ = NEXT_GROUP;
                break;
            case NEXT_GROUP:
                if (step.load) state_ = TAKE;
                break;
            case TAKE:
                if (!step.take) break;
                if (order_.last(*tile))
                    state_ = DONE;
                else if (order_.last_of_group(*tile))
                    state_ = NEXT_GROUP;
                order_.advance(*tile);
                break;
            case DONE:
                if (release) state_ = IDLE;
                break;
        }
        columns.update(start, step.load, *tile, base);
    }

  private:
    enum State { IDLE, NEXT_GROUP, TAKE, DONE } state_ = IDLE;
    DrainOrder order_;
};

}  // namespace eyas::timing
