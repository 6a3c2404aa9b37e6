// Small queues as the hardware has them: what is written in a cycle can be read in the next one.

#pragma once

#include <array>
#include <cstdint>

namespace eyas::timing {

// A ring of at most N elements, N a power of two; `depth` may be less.
template <typename T, unsigned N> class Fifo {
    static_assert((N & (N - 1)) == 0);

  public:
    unsigned level = 0;
    unsigned depth = N;

    bool readable() const { return level != 0; }
    bool writable() const { return level != depth; }
    const T &front() const { return items_[head_ % N]; }
    void push(const T &item) { items_[(head_ + level++) % N] = item; }
    void pop() { ++head_, --level; }

  private:
    std::array<T, N> items_{};
    unsigned head_ = 0;
};

// hw/stream_register.py: a queue of one, which takes no element in the cycle that it gives one away.
template <typename T> struct StreamRegister {
    bool valid = false;
    T payload{};

    bool ready() const { return !valid; }
    void update(bool given, const T &item, bool taken) {
        if (valid) {
            valid = !taken;
        } else if (given) {
            valid = true;
            payload = item;
        }
    }
};

// hw/value_queue.py, without the values.
class ValueQueue {
  public:
    bool valid = false;  // a value is on offer

    bool credit() const { return taken_ != DEPTH; }
    bool empty() const { return taken_ == 0; }
    void update(bool reserve, bool push, bool ready) {
        const bool pop = valid && ready;
        taken_ += unsigned(reserve) - unsigned(pop);
        valid = stored_ != unsigned(pop);
        stored_ += unsigned(push) - unsigned(pop);
    }

  private:
    static constexpr unsigned DEPTH = 64;
    unsigned taken_ = 0, stored_ = 0;
};

// Bit n: what was given n cycles before the latest `shift`.
class DelayLine {
  public:
    void shift(bool value) { bits_ = bits_ << 1 | uint64_t(value); }
    bool operator[](unsigned cycles) const { return bits_ >> cycles & 1; }
    bool idle() const { return bits_ == 0; }

  private:
    uint64_t bits_ = 0;
};

}  // namespace eyas::timing
