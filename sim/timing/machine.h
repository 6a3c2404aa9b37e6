// hw/top.py: all engines, the GLB between them, and memory.
//
// A cycle has two halves. First all parts say, from their registers, what they drive (`evaluate`);
// then, with what others drive known, they take their registers to the next cycle (`update`).
// Where nothing but the array with its drain can do anything, the rest of the machine and the memory
// are left out until something can.

#pragma once

#include <string>

#include "compute.h"
#include "dma_load.h"
#include "dma_store.h"
#include "sequencer.h"
#include "store_vector.h"
#include "vector_unit.h"

namespace eyas::timing {

class Machine {
  public:
    Counters counters;
    std::string failure;  // why the run cannot go on

    Machine(const Config &config, uint8_t *memory, uint64_t memory_bytes,
            const MemorySettings &settings, uint32_t address, uint32_t length);

    // Runs some cycles. Whether the program has ended.
    bool run(uint64_t cycles);

    // A number that changes while anything goes on.
    uint64_t progress() const;
    // What each engine is at, in words.
    std::string describe() const;

  private:
    static constexpr unsigned LOAD = 0, COMPUTE = 1, STORE = 2, ENGINES = 3;
    const Config config_;
    MemoryModel memory_;
    std::vector<Command> program_;
    Sequencer sequencer_;
    LoadEngine load_;
    ComputeEngine compute_;
    StoreEngine store_;
    VectorUnit vector_;
    StoreDispatch dispatch_;
    BankReads ifmap_banks_[MOST_PORTS], filter_banks_[MOST_PORTS];
    BankWrites fmap_writes_;
    uint64_t cycle_ = 0;
    // Grants of this cycle.
    bool store_granted_ = false, vector_read_ = false, vector_write_ = false, load_granted_ = false;
    unsigned glb_reads_ = 0, glb_writes_ = 0;
    // While only the array works, everything else rests.
    uint64_t settle_cycles_;               // until an idle memory is at rest
    uint64_t idle_cycles_ = 0, rested_ = 0;  // without a transfer; of these, not simulated
    bool resting_ = false;

    bool step();
    bool step_all();
    void rest();
    bool nothing_else_works(const bool taken[], const unsigned ended[]) const;
    Manager drive(bool for_commands) const;
    void grant_reads();
    void grant_operands();
    void grant_filters();
    void grant_writes();
    void move_banks();
    void count(const Subordinate &bus, bool taken);
    void count_stalls();
};

}  // namespace eyas::timing
