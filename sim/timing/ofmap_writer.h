// hw/ofmap_writer.py, hw/ofmap_assembler.py: values put together to words and written into the GLB.

#pragma once

#include "ofmap_walker.h"

namespace eyas::timing {

// One lane's assembler.
class OfmapAssembler {
  public:
    bool request = false;  // a word for the GLB
    uint32_t address = 0;

    bool blocked() const { return complete_ && request; }
    bool idle() const { return !complete_ && !request; }

    void update(const DrainStep &step, const OfmapColumn &column, bool granted) {
        const bool moves = complete_ && !request;
        if (granted) request = false;
        if (moves) {
            request = mask_;
            address = complete_address_;
            complete_ = mask_ = false;
        }
        if (step.take) {
            mask_ |= place_.valid();
            complete_ = place_.word_end(step);
            if (complete_) complete_address_ = place_.address;
        }
        if (step.take || step.load) place_.update(step, column);
    }

  private:
    OfmapPlace place_;
    bool complete_ = false, mask_ = false;  // mask: some byte of the word is to be written
    uint32_t complete_address_ = 0;
};

class OfmapWriter {
  public:
    OfmapAssembler assemblers[MOST_LANES];
    bool written = false;  // in this cycle: the tile's last word has been transferred

    explicit OfmapWriter(const Config &config) : lanes_(config.lanes), walker_(config) {}

    bool ready() const { return ready_; }  // for a value of each lane
    bool idle() const { return idle_ && walker_.idle(); }

    void evaluate(const DrainTile *tile, bool values) {
        walker_.evaluate(tile);
        bool blocked = false, idle = true;
        for (unsigned n = 0; n < lanes_; ++n) {
            blocked |= assemblers[n].blocked();
            idle &= assemblers[n].idle();
        }
        idle_ = idle;
        ready_ = walker_.ready() && !blocked;
        walker_.step.take = ready_ && values;
        written = walker_.done() && idle;
    }

    // granted: bit n, lane n's word is transferred.
    void update(const DrainTile *tile, uint32_t granted) {
        if (!tile && idle_) return;
        const DrainStep &step = walker_.step;
        for (unsigned n = 0; n < lanes_; ++n)
            assemblers[n].update(step, walker_.columns.lanes[n], granted >> n & 1);
        walker_.update(tile, tile ? uint32_t(tile->tile.ofmap_base) : 0, written);
    }

  private:
    const unsigned lanes_;
    OfmapWalker walker_;
    bool ready_ = false, idle_ = true;
};

}  // namespace eyas::timing
