// hw/top_events.py: what the counters count in a cycle.

#include "machine.h"

namespace eyas::timing {

void Machine::count(const Subordinate &bus, bool rready) {
    counters.add(fields::CYCLES, 1);
    counters.add(fields::LOAD_BUSY, load_.busy);
    counters.add(fields::STORE_BUSY, store_.busy);
    counters.add(fields::VECTOR_BUSY, vector_.running);
    counters.add(fields::GLB_READS, glb_reads_);
    counters.add(fields::GLB_WRITES, glb_writes_);
    counters.add(fields::GLB_DMA_WORDS, unsigned(load_.word) + unsigned(store_.word));
    counters.add(fields::GLB_VECTOR_WORDS, unsigned(vector_read_) + unsigned(vector_write_));
    if (bus.rvalid && rready) counters.add(fields::MEMORY_READ_BYTES, config_.bus_bytes);
    if (store_.beat) counters.add(fields::MEMORY_WRITE_BYTES, config_.bus_bytes);
    count_stalls();
}

// In each cycle the array issues a micro-cycle or stalls for one cause.
void Machine::count_stalls() {
    const StepGate &gate = compute_.core.gate;
    const unsigned missing = sequencer_.gate.missing[COMPUTE];
    if (gate.go) return;
    if (gate.wait_psum_banks)
        counters.add(fields::STALL_PSUM_BANKS, 1);
    else if (gate.wait_filters)
        counters.add(fields::STALL_FILTERS, 1);
    else if (gate.wait_ifmaps || gate.filled)
        counters.add(fields::STALL_IFMAPS, 1);
    else if (compute_.fenced)
        counters.add(fields::STALL_PSUM_BANKS, 1);
    else if (missing >> LOAD & 1)
        counters.add(fields::STALL_MEMORY_READ, 1);
    else if (missing >> STORE & 1)
        counters.add(fields::STALL_MEMORY_WRITE, 1);
    else
        counters.add(fields::STALL_COMMANDS, 1);
}

}  // namespace eyas::timing
