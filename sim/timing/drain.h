// hw/drain.py, hw/ppu_lane.py, hw/merge_unit.py: psums through the lanes into ofmaps in the GLB.
//
// The lanes themselves are mere delays: a value leaves them a fixed time after its psum was read.

#pragma once

#include "counters.h"
#include "ofmap_writer.h"
#include "operand_reader.h"
#include "param_fetch.h"
#include "psum_reader.h"

namespace eyas::timing {

class Drain {
  public:
    ParamFetch fetch;
    PsumReader reader;
    OfmapWriter writer;
    OperandReader operands;
    // For the GLB to set: grants and arrivals of this cycle; bit n is lane n's.
    bool params_granted = false, params_arrive = false;
    uint32_t writes_granted = 0, operands_granted = 0;

    Drain(const Config &config, Counters &counters)
        : fetch(config), reader(config, ODD_START), writer(config), operands(config),
          config_(config), counters_(counters), latency_(LANE_STAGES + config.tables) {}

    bool ready() const { return to_fetch_[0].ready(); }  // for a tile
    bool busy() const { return busy_; }
    bool params_read() const { return fetch.params_read; }
    bool written() const { return writer.written; }
    unsigned drained() const { return reader.drained; }

    void evaluate(unsigned full) {
        resting_ &= !reader.wakes(full);
        if (resting_) return;
        reader.evaluate(read_tile(), queue_.credit(), full, to_writer_[0].ready(),
                        operands.available);
        writer.evaluate(write_tile(), queue_.valid);
    }

    // next: a tile that comes, or null.
    void update(const DrainTile *next) {
        if (resting_ && !next) {
            reader.rest();
            return;
        }
        if (reader.draining()) counters_.add(fields::DRAIN_BUSY, 1);
        const bool merging = config_.merge && reader.constants.merges();
        const DrainTile *fetched = fetch_tile();
        const bool forked = fetch.offers() && config_.merge && fetched->merges();
        const bool to_operands = forked && !given_ && operands.tile_ready();
        const bool to_reader = fetch.offers() && (given_ || !forked) && to_reader_.ready();
        const bool take = merging && lanes_[OPERAND_DELAY - 1];
        const bool push = lanes_[latency_ + (merging ? PASS_DISTANCE : 0)];
        if (config_.merge)
            operands.update(to_operands ? fetched : nullptr, operands_granted, reader.claim, take);
        const unsigned released = leave_lanes(merging);
        const bool empty = queue_.empty();
        queue_.update(reader.valid, push, writer.ready());
        writer.update(write_tile(), writes_granted);
        reader.update(read_tile(), empty);
        fetch.update(fetched, params_granted, params_arrive, released, to_reader);
        given_ = !to_reader && (given_ || to_operands);
        move_tiles(next, to_reader);
        busy_ = has_tiles();
        resting_ = rests();
    }

  private:
    static constexpr unsigned LANE_STAGES = 16, PASS_DISTANCE = 21;
    static constexpr unsigned OPERAND_DELAY = 15;  // from reading a psum to taking its operand
    const Config config_;
    Counters &counters_;
    const unsigned latency_;
    StreamRegister<DrainTile> to_fetch_[MOST_SLOTS], to_reader_, to_writer_[2];
    ValueQueue queue_;
    DelayLine lanes_, last_;  // psums that have been read; those that are a tile's last
    bool busy_ = false, given_ = false;
    bool resting_ = false;  // nothing changes until a tile comes or its psums are there
    unsigned released_half_ = 0;

    static const DrainTile *of(const StreamRegister<DrainTile> &stage) {
        return stage.valid ? &stage.payload : nullptr;
    }
    const DrainTile *fetch_tile() const { return of(to_fetch_[config_.tile_slots - 1]); }
    const DrainTile *read_tile() const { return of(to_reader_); }
    const DrainTile *write_tile() const { return of(to_writer_[1]); }

    bool has_tiles() const {
        bool some = to_reader_.valid;
        for (unsigned n = 0; n < config_.tile_slots; ++n) some |= to_fetch_[n].valid;
        for (const auto &stage : to_writer_) some |= stage.valid;
        return some;
    }

    bool rests() const {
        bool moves = writer.written || reader.offers || reader.takes;  // in this cycle, or the next
        for (unsigned n = 1; n < config_.tile_slots; ++n)
            moves |= to_fetch_[n - 1].valid && !to_fetch_[n].valid;
        if (fetch.offers()) moves |= to_reader_.ready();
        for (const auto &stage : to_writer_) moves |= stage.valid;
        return !moves && queue_.empty() && lanes_.idle() && operands.idle() &&
               !(fetch.offers() && fetch_tile()->merges() && !given_) &&
               fetch.rests(fetch_tile()) && reader.rests(read_tile(), true) && writer.idle();
    }

    // The last value of a tile, as it leaves the lanes, releases its half of the parameters.
    unsigned leave_lanes(bool merging) {
        const bool leaves = last_[latency_ + (merging ? PASS_DISTANCE : 0)];
        lanes_.shift(reader.valid);
        last_.shift(reader.valid && reader.last);
        if (!leaves) return 0;
        const unsigned released = 1u << released_half_;
        released_half_ ^= 1;
        return released;
    }

    void move_tiles(const DrainTile *next, bool fetched) {
        const bool written = writer.written;
        const bool behind = to_writer_[0].valid && to_writer_[1].ready();
        const bool read = reader.offers && to_writer_[0].ready();
        to_writer_[1].update(behind, to_writer_[0].payload, written);
        to_writer_[0].update(read, to_reader_.payload, behind);
        const unsigned last = config_.tile_slots - 1;
        to_reader_.update(fetched, to_fetch_[last].payload, reader.takes);
        bool moves = fetched;  // out of the present register
        for (unsigned n = last; n > 0; --n) {
            const bool comes = to_fetch_[n - 1].valid && to_fetch_[n].ready();
            to_fetch_[n].update(comes, to_fetch_[n - 1].payload, moves);
            moves = comes;
        }
        to_fetch_[0].update(next != nullptr, next ? *next : to_fetch_[0].payload, moves);
    }
};

}  // namespace eyas::timing
