// hw/drain_columns.py: what each lane must know of its next column.

#pragma once

#include "commands.h"
#include "config.h"

namespace eyas::timing {

// hw/drain_descriptor.py: the order of a tile's psums.
class DrainOrder {
  public:
    int channel = 0, position = 0;

    explicit DrainOrder(const Config &config) : lanes_(int(config.lanes)) {}

    void restart() { channel = position = group_ = 0; }
    bool last_channel(const DrainTile &tile) const { return channel + 1 == tile.psums(); }
    bool last_of_group(const DrainTile &tile) const {
        return last_channel(tile) && position + 1 == tile.walk.steps;
    }
    bool last(const DrainTile &tile) const {
        return last_of_group(tile) && group_ == (tile.columns - 1) / lanes_;
    }
    void advance(const DrainTile &tile) {
        if (!last_channel(tile)) {
            ++channel;
            return;
        }
        channel = 0;
        if (++position == tile.walk.steps) position = 0, ++group_;
    }

  private:
    const int lanes_;
    int group_ = 0;
};

// ColumnWalker as far as time goes: a column a cycle until all lanes have theirs. (ParamColumns.)
class ParamColumns {
  public:
    explicit ParamColumns(const Config &config) : lanes_(config.lanes) {}

    bool ready() const { return known_ == lanes_; }
    void update(bool start, bool take) {
        if (start || take)
            known_ = 0;
        else if (!ready())
            ++known_;
    }

  private:
    const unsigned lanes_;
    unsigned known_ = 0;
};

// Where the ofmap values of a column go, and which of them.
struct OfmapColumn {
    static constexpr int ALL = 1 << 30;  // a limit that the column does not reach
    uint32_t address = 0;
    unsigned byte = 0;
    int positions = 0, channels = 0;  // that are written
};

class OfmapColumns {
  public:
    OfmapColumn lanes[MOST_LANES];

    explicit OfmapColumns(const Config &config) : count_(config.lanes) {}

    bool ready() const { return known_ == count_; }

    // base: address of the tile's first word.
    void update(bool start, bool take, const DrainTile &tile, uint32_t base) {
        if (start) {
            known_ = 0;
            piece_ = row_ = 0;
            blocks_ = 0;
            byte_ = unsigned(tile.tile.ofmap_lane);
            address_ = of_row_ = of_set_ = base;
            f_left_ = tile.tile.f_valid;
            m_left_ = tile.tile.m_valid;
        } else if (blocks_) {  // a channel block further
            --blocks_;
            address_ = of_row_ = of_set_ += uint32_t(tile.drain.ofmap_plane);
            if (take) known_ = 0;
        } else if (take) {
            known_ = 0;
        } else if (!ready()) {
            lanes[known_++] = column(tile);
            next(tile);
        }
    }

  private:
    const unsigned count_;
    unsigned known_ = 0;  // lanes that have their column
    int piece_ = 0, row_ = 0, f_left_ = 0, m_left_ = 0;
    unsigned byte_ = 0, blocks_ = 0;
    // Of the present column, of its ofmap row, of its filter set.
    uint32_t address_ = 0, of_row_ = 0, of_set_ = 0;

    OfmapColumn column(const DrainTile &tile) const {
        const bool written = row_ < tile.tile.we_valid;
        const int channels = m_left_ >= tile.psums() ? OfmapColumn::ALL : m_left_;
        const int positions = f_left_ >= tile.walk.steps ? OfmapColumn::ALL : f_left_;
        return {address_, byte_, positions, written ? channels : 0};
    }

    void next(const DrainTile &tile) {
        if (++piece_ != tile.walk.wf) {
            f_left_ = f_left_ > tile.walk.steps ? f_left_ - tile.walk.steps : 0;
            address_ += uint32_t(tile.walk.steps);
            return;
        }
        piece_ = 0;
        f_left_ = tile.tile.f_valid;
        if (++row_ != tile.walk.we) {
            address_ = of_row_ += uint32_t(tile.drain.ofmap_pitch);
            return;
        }
        row_ = 0;
        m_left_ = m_left_ > tile.psums() ? m_left_ - tile.psums() : 0;
        address_ = of_row_ = of_set_;
        blocks_ = byte_ + unsigned(tile.psums());
        byte_ = blocks_ % 8;
        blocks_ /= 8;
    }
};

}  // namespace eyas::timing
