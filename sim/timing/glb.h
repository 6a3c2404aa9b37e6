// hw/glb.py, hw/glb_bank.py: word-interleaved banks, each with a read and a write a cycle.

#pragma once

#include "config.h"

namespace eyas::timing {

// Who asks a bank: rows by their number, from 0 on, then
constexpr int NOBODY = -1, STORE_CLIENT = 32, VECTOR_CLIENT = 33, PARAMETERS_CLIENT = 34,
              OPERAND_CLIENT = 64;  // and following: by PPU lane

// The read port of a bank: who is granted a request in a cycle, and whose word comes back.
class BankReads {
  public:
    int granted = NOBODY;

    int arriving() const { return second_; }
    void update() {
        second_ = first_;
        first_ = granted;
        granted = NOBODY;
    }

  private:
    int first_ = NOBODY, second_ = NOBODY;
};

// The write ports of all banks of a space in a cycle: who comes first takes his bank.
class BankWrites {
  public:
    explicit BankWrites(unsigned ports) : low_(ports - 1) {}

    void clear() { taken_ = 0; }
    bool ready(uint32_t address) const { return !(taken_ >> (address & low_) & 1); }
    void take(uint32_t address) { taken_ |= 1u << (address & low_); }

  private:
    const uint32_t low_;
    uint32_t taken_ = 0;
};

}  // namespace eyas::timing
