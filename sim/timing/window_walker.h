// hw/window_walker.py: the windows of a VECTOR command, and what of each has not been read before.

#pragma once

#include <algorithm>

#include "commands.h"

namespace eyas::timing {

struct Window {
    uint32_t address = 0, out_address = 0;
    int lines = 0, first = 0, last = 0;  // first, last: taps of a line
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
                state_ = blocks_-- == 0 ? IDLE : NEXT;
                windows_ = 0;
                rows_ = tile.out_height;
                row_in_ = block_in_;
                row_out_ = block_out_;
                row_y_ = tile.y0;
                block_in_ += uint32_t(tile.in_plane);
                block_out_ += uint32_t(tile.out_plane);
                break;
            case NEXT:
                state_ = OFFER;
                if (windows_ == 0) next_row(tile, shape);
                break;
            case LINES:
                if (y_ < 0 && lines_ != 0) {
                    ++y_, --lines_;
                    column0_ += uint32_t(tile.in_pitch);
                } else {
                    lines_ = std::clamp(tile.in_height - y_, 0, lines_);
                    state_ = windows_ == 0 ? NEXT : OFFER;
                }
                break;
            case OFFER:
                if (room) offer(tile, shape);
                break;
        }
    }

  private:
    static constexpr int OPEN_WINDOWS = int(fields::VECTOR_OPEN_WINDOWS);
    enum State { IDLE, BLOCK, NEXT, LINES, OFFER } state_ = IDLE;
    int blocks_ = 0, rows_ = 0, windows_ = 0, lines_ = 0, row_y_ = 0, y_ = 0, x_ = 0;
    int open_ = 0;  // 0 at a window that begins afresh
    uint32_t block_in_ = 0, block_out_ = 0, row_in_ = 0, row_out_ = 0, column0_ = 0, out_ = 0;

    void next_row(const fields::VectorTile &tile, const fields::VectorWindow &shape) {
        state_ = rows_-- == 0 ? BLOCK : LINES;
        lines_ = shape.rows;
        y_ = row_y_;
        windows_ = tile.out_width;
        column0_ = row_in_;
        out_ = row_out_;
        x_ = tile.x0;
        open_ = 0;
        row_in_ += uint32_t(shape.y_step);
        row_out_ += uint32_t(tile.out_pitch);
        row_y_ += shape.stride_y;
    }

    void offer(const fields::VectorTile &tile, const fields::VectorWindow &shape) {
        const int overlap = open_ ? std::max(shape.taps - shape.stride_x, 0) : 0;
        const int column = std::max(x_ + overlap, 0), first = column - x_;
        const int last = std::min(tile.in_width - x_, shape.taps) - 1;
        valid = true;
        window = {column0_ + uint32_t(column), out_, lines_, first, last,
                  first > last || lines_ == 0};
        --windows_;
        ++out_;
        x_ += shape.stride_x;
        if (open_ == 0)
            open_ = OPEN_WINDOWS - 1;
        else if (shape.taps > shape.stride_x * OPEN_WINDOWS)
            --open_;
        state_ = NEXT;
    }
};

}  // namespace eyas::timing
