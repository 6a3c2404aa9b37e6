// hw/axi_read_arbiter.py: LOAD (ID 0) and command fetch (ID 1) on one read port.

#pragma once

#include "../memory_model.h"

namespace eyas::timing {

class AxiReadArbiter {
  public:
    static constexpr uint8_t LOAD_ID = 0, COMMANDS_ID = 1;

    bool to_commands = false;  // the address on offer is the command fetch's

    void evaluate(bool load, bool commands) {
        valid_ = load || commands;
        to_commands = commands && !held_;
    }
    bool valid() const { return valid_; }
    void update(bool ready) { held_ = valid_ && !ready && !to_commands; }

  private:
    bool valid_ = false, held_ = false;  // held: an offered address of LOAD was not taken
};

}  // namespace eyas::timing
