// hw/store_vector.py: the commands of the STORE queue, to the STORE engine or to the vector unit.

#pragma once

#include "commands.h"

namespace eyas::timing {

class StoreDispatch {
  public:
    const Command *to_store = nullptr, *to_vector = nullptr;

    bool running() const { return running_; }

    // store_busy: STOREs that were taken have not all ended.
    void evaluate(const Command *command, bool store_busy) {
        to_store = to_vector = nullptr;
        if (!command || running_) return;
        if (command->header.opcode == fields::STORE)
            to_store = command;
        else if (command->header.opcode != fields::VECTOR || !store_busy)
            to_vector = command;
    }

    void update(bool vector_taken, bool vector_done) {
        if (vector_taken && to_vector->header.opcode == fields::VECTOR)
            running_ = true;
        else if (vector_done)
            running_ = false;
    }

  private:
    bool running_ = false;  // a VECTOR
};

}  // namespace eyas::timing
