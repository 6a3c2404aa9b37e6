// hw/operand_reader.py: reads the second fmap of a merge from the GLB, ahead of the lanes.

#pragma once

#include "ofmap_walker.h"
#include "queues.h"

namespace eyas::timing {

class OperandReader {
  public:
    bool available = false;  // there are operands for a psum of each lane
    struct Lane {
        bool request = false, begins = false;
        uint32_t address = 0;
        OfmapPlace place;
    } lanes[MOST_LANES];

    explicit OperandReader(const Config &config) : count_(config.lanes), walker_(config) {}

    bool tile_ready() const { return tile_.ready(); }
    // Whether nothing happens without a new tile. (What is left in the queue waits for psums.)
    bool idle() const { return !tile_.valid && queue_.empty() && arrived_.idle() && !available; }

    // next: a tile that comes, or null. granted: bit n, lane n's request is. claim, take: a psum for
    // which there are operands is read, and now takes them.
    void update(const DrainTile *next, uint32_t granted, bool claim, bool take) {
        const DrainTile *tile = tile_.valid ? &tile_.payload : nullptr;
        walker_.evaluate(tile);
        bool asking = false;
        for (unsigned n = 0; n < count_; ++n) asking |= lanes[n].request && !(granted >> n & 1);
        const bool moves = waiting_ && !asking;
        DrainStep &step = walker_.step;
        step.take = walker_.ready() && queue_.credit() && (!waiting_ || moves);
        const bool push = arrived_[ARRIVAL - 1], release = walker_.done();
        for (unsigned n = 0; n < count_; ++n) move(lanes[n], step, n, granted >> n & 1);
        queue_.update(step.take, push, take);
        arrived_.shift(moves);
        waiting_ = step.take || (waiting_ && !moves);
        available = count_values_ != 0;
        count_values_ += unsigned(push) - unsigned(claim);
        uint32_t base = 0;
        if (tile) base = uint32_t(tile->tile.ofmap_base + tile->merge.operand_offset);
        walker_.update(tile, base, release);
        tile_.update(next != nullptr, next ? *next : tile_.payload, release);
    }

  private:
    static constexpr unsigned ARRIVAL = GLB_READ_LATENCY + 1;
    const unsigned count_;
    OfmapWalker walker_;
    StreamRegister<DrainTile> tile_;
    ValueQueue queue_;
    DelayLine arrived_;
    bool waiting_ = false;  // a value waits for its words to be asked for
    unsigned count_values_ = 0;

    void move(Lane &lane, const DrainStep &step, unsigned number, bool granted) {
        if (granted) lane.request = false;
        if (step.take) {
            lane.request = lane.begins && lane.place.valid();
            lane.address = lane.place.address;
        }
        if (step.load || step.take) {
            lane.begins = step.load || lane.place.word_end(step);
            lane.place.update(step, walker_.columns.lanes[number]);
        }
    }
};

}  // namespace eyas::timing
