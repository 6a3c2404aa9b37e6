// hw/psum_reader.py: reads the psums of finished tiles, a column a lane.

#pragma once

#include "drain_columns.h"

namespace eyas::timing {

class PsumReader {
  public:
    unsigned drained = 0;  // psum memories that are empty since the last cycle
    DrainTile constants;   // whose constants hold in the lanes

    // Of this cycle.
    bool valid = false;  // a psum of each lane's column is being read
    bool last = false;   // of the tile
    bool offers = false, takes = false, claim = false;

    // on_turn: whether the first cycle is one in which psums of merges are read.
    PsumReader(const Config &config, bool on_turn)
        : merge_(config.merge), order_(config), columns_(config), on_turn_(on_turn) {}

    bool draining() const { return state_ == READING || state_ == NEXT_GROUP; }

    // credit, empty: of the value queue. full: psum memories. room: behind, for the tile.
    // operands: there is one for each lane.
    void evaluate(const DrainTile *tile, bool credit, unsigned full, bool room, bool operands) {
        valid = last = offers = takes = claim = columns_take_ = false;
        switch (state_) {
            case IDLE: break;
            case WAIT:
                offers = columns_.ready() && (full >> half_ & 1) && tile->same_constants(constants);
                columns_take_ = offers && room;
                break;
            case READING:
                valid = credit && (!merging_ || (on_turn_ && operands));
                last = valid && order_.last(*tile);
                claim = valid && merging_;
                takes = last;
                break;
            case NEXT_GROUP: columns_take_ = columns_.ready(); break;
        }
    }

    void update(const DrainTile *tile, bool empty) {
        drained = 0;
        const bool merging = merge_ && constants.merges();
        const bool start = state_ == IDLE && tile;
        switch (state_) {
            case IDLE:
                order_.restart();
                if (start) state_ = WAIT;
                break;
            case WAIT:
                if (empty) constants = *tile;
                if (columns_take_) state_ = READING;
                break;
            case READING:
                if (!valid) break;
                if (last) {
                    drained = 1u << half_;
                    half_ ^= 1;
                    state_ = IDLE;
                } else if (order_.last_of_group(*tile)) {
                    state_ = NEXT_GROUP;
                }
                order_.advance(*tile);
                break;
            case NEXT_GROUP:
                if (columns_take_) state_ = READING;
                break;
        }
        columns_.update(start, columns_take_);
        merging_ = merging;
        on_turn_ = !on_turn_;
    }

    // Whether nothing changes until there is a tile, or until the psums of the one on offer are there.
    bool rests(const DrainTile *tile, bool empty) const {
        if (drained || merging_ != (merge_ && constants.merges())) return false;
        if (state_ == IDLE) return !tile;
        return state_ == WAIT && columns_.ready() && (!empty || tile->same_constants(constants));
    }
    bool wakes(unsigned full) const { return state_ == WAIT && (full >> half_ & 1); }
    // A cycle of that.
    void rest() { on_turn_ = !on_turn_; }

  private:
    enum State { IDLE, WAIT, READING, NEXT_GROUP } state_ = IDLE;
    const bool merge_;
    DrainOrder order_;
    ParamColumns columns_;
    unsigned half_ = 0;
    bool columns_take_ = false, merging_ = false, on_turn_;
};

}  // namespace eyas::timing
