// hw/ifmap_walker.py: the ifmap words that a row's unit needs, in order.

#pragma once

#include "unit_walker.h"

namespace eyas::timing {

// What becomes of a word (beat_order_layout).
struct BeatOrder {
    uint8_t takers;  // columns that take its beats
    bool pad, both_halves, position_end;
};

class IfmapWalker {
  public:
    bool busy = false, fresh = false;
    Unit unit;
    unsigned free;  // beats of the ring

    explicit IfmapWalker(const Config &config)
        : free(config.ifmap_beats), columns_(config.cols < 32 ? (1u << config.cols) - 1 : ~0u) {}

    // A unit comes. Returns whether it is passed over.
    bool start(const Unit &next) {
        unit = next;
        busy = fresh = next.active;
        return !next.active;
    }

    // The cycle in which the walk's registers take the unit's first word.
    void load() {
        const fields::Walk &walk = unit.slot->walk;
        fresh = false;
        half_ = unit.lane >> 2 & 1;
        words_ = (walk.beats + half_ + 1) >> 1;
        odd_ = (walk.beats ^ half_) & 1;
        steps_ = walk.steps, positions_ = walk.span, a_ = walk.we, b_ = walk.wf, word_ = 0;
        address_ = column_ = row_ = position_ = unit.address;
        x_ = position_x_ = unit.x;
        y_ = unit.y;
        mask_ = unit.slot->unit.ifmap_mask;
        opens_ = true;
    }

    // Whether a word is on offer: a position begins only where the ring has room for all of it.
    bool valid() const {
        return busy && !fresh && (!opens_ || free >= unsigned(unit.slot->walk.beats));
    }
    bool pad() const {
        // As unsigned numbers of 13 bits, negative coordinates are beyond any buffer.
        const fields::Tile &tile = unit.slot->tile;
        return (y_ & 0x1FFF) >= tile.ifmap_height || (x_ & 0x1FFF) >= tile.ifmap_width;
    }
    uint32_t address() const { return address_; }
    BeatOrder order() const {
        const bool ends_word = word_ == words_ - 1;
        const bool lower = word_ != 0 || !half_, upper = !ends_word || !odd_;
        const bool ends_column = ends_word && b_ == 1 && a_ == 1;
        return {uint8_t(__builtin_popcount(mask_ & columns_)), pad(), lower && upper, ends_column};
    }

    // The word is taken. Returns whether it was the unit's last one.
    bool take() {
        const fields::Walk &walk = unit.slot->walk;
        if (opens_) free -= unsigned(walk.beats);
        opens_ = false;
        address_ += uint32_t(walk.ifmap_plane);
        if (++word_ != words_) return false;
        word_ = 0;
        address_ = column_ += uint32_t(walk.wf_step);
        x_ += walk.wf_step;
        mask_ <<= 1;
        if (--b_) return false;
        b_ = walk.wf;
        address_ = column_ = row_ += uint32_t(walk.we_step);
        x_ = position_x_;
        y_ += walk.stride_y;
        if (--a_) return false;
        return next_position(walk);
    }

  private:
    const uint32_t columns_;
    int half_ = 0, words_ = 0, odd_ = 0;
    int steps_ = 0, positions_ = 0, a_ = 0, b_ = 0, word_ = 0;
    uint32_t address_ = 0, column_ = 0, row_ = 0, position_ = 0, mask_ = 0;
    int y_ = 0, x_ = 0, position_x_ = 0;
    bool opens_ = false;  // the word is a position's first one

    bool next_position(const fields::Walk &walk) {
        int gap = 0;
        bool ends = false;
        a_ = walk.we;
        if (--positions_ == 0) {
            positions_ = walk.advance;
            gap = walk.position_gap;
            ends = --steps_ == 0;
        }
        address_ = column_ = row_ = position_ += uint32_t(gap + 1);
        x_ = position_x_ += gap + 1;
        y_ = unit.y;
        mask_ = unit.slot->unit.ifmap_mask;
        opens_ = true;
        if (ends) busy = false;
        return ends;
    }
};

}  // namespace eyas::timing
