// hw/window_walker.py: the windows of a VECTOR command, clipped to the buffer.

#pragma once

#include <algorithm>

#include "commands.h"

namespace eyas::timing {

struct Window {
    uint32_t address = 0, out_address = 0;
    int lines = 0, taps = 0;
    bool empty = false;
};

class WindowWalker {
  public:
    bool valid = false;  // a window is on offer
    Window window;

    bool busy() const { return state_ != IDLE; }

    void update(bool start, bool ready, const fields::VectorTile &tile,
                const fields::VectorWindow &shape) {
        const bool room = !valid || ready;
        if (ready) valid = false;
        switch (state_) {
            case IDLE:
                if (!start) break;
                blocks_ = tile.blocks;
                block_in_ = uint32_t(tile.in_base - tile.x0);
                block_out_ = uint32_t(tile.out_base);
                state_ = BLOCK;
                break;
            case BLOCK:
                state_ = blocks_-- == 0 ? IDLE : ROW;
                rows_ = tile.out_height;
                row_in_ = block_in_;
                row_out_ = block_out_;
                row_y_ = tile.y0;
                block_in_ += uint32_t(tile.in_plane);
                block_out_ += uint32_t(tile.out_plane);
                break;
            case ROW:
                state_ = rows_-- == 0 ? BLOCK : LINES;
                lines_ = shape.rows;
                y_ = row_y_;
                windows_ = tile.out_width;
                column0_ = row_in_;
                out_ = row_out_;
                x_ = tile.x0;
                row_in_ += uint32_t(shape.y_step);
                row_out_ += uint32_t(tile.out_pitch);
                row_y_ += shape.stride_y;
                break;
            case LINES:
                if (y_ < 0 && lines_ != 0) {
                    ++y_, --lines_;
                    column0_ += uint32_t(tile.in_pitch);
                } else {
                    lines_ = std::clamp(tile.in_height - y_, 0, lines_);
                    state_ = TAPS;
                }
                break;
            case TAPS:
                end_ = std::min(tile.in_width - x_, shape.taps);
                state_ = windows_ == 0 ? ROW : OFFER;
                break;
            case OFFER:
                if (room) offer(shape);
                break;
        }
    }

  private:
    enum State { IDLE, BLOCK, ROW, LINES, TAPS, OFFER } state_ = IDLE;
    int blocks_ = 0, rows_ = 0, windows_ = 0, lines_ = 0, row_y_ = 0, y_ = 0, x_ = 0, end_ = 0;
    uint32_t block_in_ = 0, block_out_ = 0, row_in_ = 0, row_out_ = 0, column0_ = 0, out_ = 0;

    void offer(const fields::VectorWindow &shape) {
        const int taps = end_ + std::min(x_, 0);
        valid = true;
        window = {column0_ + uint32_t(std::max(x_, 0)), out_, lines_, taps,
                  taps <= 0 || lines_ == 0};
        --windows_;
        ++out_;
        x_ += shape.stride_x;
        state_ = TAPS;
    }
};

}  // namespace eyas::timing
