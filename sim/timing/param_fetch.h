// hw/param_fetch.py, hw/merge_fetch.py: a tile's parameters, its table, a merge's constants.

#pragma once

#include "commands.h"
#include "config.h"

namespace eyas::timing {

class ParamFetch {
  public:
    bool params_read = false;  // a tile's parameters are all here, since the last cycle

    explicit ParamFetch(const Config &config) : tables_(config.tables), merge_(config.merge) {}

    bool offers() const { return state_ == READ; }
    bool request() const {
        switch (state_) {
            case REQUEST: return true;
            case TABLE:
                return outstanding_ == 0 &&
                       (!writing_ || (index_ % WORD_BYTES >= REQUEST_AHEAD && !last_word()));
            case MERGE: return !occupied_ && !pause_ && words_left_ != 0;
            default: return false;
        }
    }
    uint32_t address() const { return address_; }
    // Whether nothing changes until values leave the lanes, a tile comes, or one is taken.
    bool rests(const DrainTile *tile) const {
        if (params_read) return false;
        switch (state_) {
            case IDLE: return !tile || (occupied_ >> half_ & 1);
            case MERGE: return occupied_;
            default: return state_ == READ;
        }
    }

    // tile: the one on offer, or null. arrives: a word from the GLB. released: halves whose values
    // have left the lanes. taken: the tile that this offers goes on.
    void update(const DrainTile *tile, bool granted, bool arrives, unsigned released, bool taken) {
        const bool asked = request() && granted;
        bool finished = false;
        const bool merge_active = state_ == MERGE && !occupied_;
        switch (state_) {
            case IDLE:
                if (tile) address_ = uint32_t(tile->tile.param_base);
                if (tile && !(occupied_ >> half_ & 1)) state_ = REQUEST;
                break;
            case REQUEST:
                if (asked && last_request(*tile)) state_ = RECEIVE;
                break;
            case RECEIVE:
                if (outstanding_) break;
                index_ = 0;
                if (tile->drain.table && tables_)
                    state_ = TABLE;
                else
                    finished = go_on(*tile);
                break;
            case TABLE: {
                const bool last_byte = index_ % WORD_BYTES == WORD_BYTES - 1;
                if (writing_ && last_byte && last_word()) finished = go_on(*tile);
                index_ += writing_;
                writing_ = arrives || (writing_ && !last_byte);
                break;
            }
            case MERGE:
                if (left_then_[1] && words_arrived_ == fields::MERGE_WORDS) {
                    finished = true;
                    state_ = READ;
                }
                break;
            case READ:
                if (taken) half_ ^= 1, state_ = IDLE;
                break;
        }
        outstanding_ += unsigned(asked) - unsigned(arrives);
        address_ += asked;
        take_merge(merge_active, asked, arrives);
        occupied_ = (occupied_ | unsigned(finished) << half_) & ~released;
        params_read = finished;
    }

  private:
    static constexpr unsigned REQUEST_AHEAD = WORD_BYTES - 1 - GLB_READ_LATENCY;
    static constexpr unsigned HEADER_WORDS = 2;  // of a merge's constants
    enum State { IDLE, REQUEST, RECEIVE, TABLE, MERGE, READ } state_ = IDLE;
    const bool tables_, merge_;
    uint32_t address_ = 0;
    unsigned half_ = 0, occupied_ = 0, outstanding_ = 0;
    bool second_ = false, writing_ = false;
    int channel_ = 0, sets_ = 0;
    unsigned index_ = 0;  // byte of the table
    // Of a merge.
    unsigned words_left_ = 0, words_arrived_ = 0;
    bool pause_ = false, left_then_[2] = {};  // a word of the tables arrived 1, 2 cycles ago

    bool last_word() const { return index_ / WORD_BYTES == fields::TABLE_WORDS - 1; }

    // Whether this request is the last one for parameters: two words a channel.
    bool last_request(const DrainTile &tile) {
        second_ = !second_;
        if (second_ || ++channel_ != tile.psums()) return false;
        channel_ = 0;
        if (++sets_ != tile.walk.wm) return false;
        sets_ = 0;
        return true;
    }

    // Parameters and table have been read. Returns whether that is all.
    bool go_on(const DrainTile &tile) {
        const bool more = merge_ && tile.tile.merge_load;
        if (more) address_ = uint32_t(tile.merge.merge_base);
        state_ = more ? MERGE : READ;
        return !more;
    }

    void take_merge(bool active, bool asked, bool arrives) {
        const bool of_tables = active && arrives && words_arrived_ >= HEADER_WORDS;
        left_then_[1] = left_then_[0];
        left_then_[0] = of_tables;
        words_left_ = active ? words_left_ - unsigned(asked) : fields::MERGE_WORDS;
        words_arrived_ = active ? words_arrived_ + unsigned(arrives) : 0;
        pause_ = asked;
    }
};

}  // namespace eyas::timing
