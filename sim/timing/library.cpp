// What sim/timing_library.py binds: a run of a program, its counters, and what to say where it hangs.

#include <cstdio>

#include "machine.h"

namespace eyas::timing {

uint64_t Machine::progress() const {
    // Everything that can go on moves a word, a command, a psum or a micro-cycle before long.
    uint64_t sum = memory_.last_transfer;
    for (const auto counter : {fields::ARRAY_BUSY, fields::DRAIN_BUSY, fields::GLB_READS,
                               fields::GLB_WRITES, fields::GLB_DMA_WORDS, fields::GLB_VECTOR_WORDS,
                               fields::NOC_IFMAP_BEATS, fields::USEFUL_MACS})
        sum += counters.totals[counter];
    return sum;
}

std::string Machine::describe() const {
    static const char *const names[ENGINES] = {"LOAD", "COMPUTE", "STORE"};
    std::string text;
    for (unsigned engine = 0; engine < ENGINES; ++engine) {
        const CommandQueues &queues = sequencer_.queues;
        text += std::string(engine ? "; " : "") + names[engine];
        if (!queues.loaded(engine)) {
            text += " has no command";
            continue;
        }
        text += " is at command " + std::to_string(queues.head_number(engine));
        const unsigned missing = sequencer_.gate.missing[engine];
        for (unsigned other = 0; other < ENGINES; ++other)
            if (missing >> other & 1) text += std::string(", which waits for ") + names[other];
        if (missing) continue;
        if (sequencer_.gate.no_room[engine]) text += ", which waits for earlier ones to end";
        else text += ", which the engine does not take";
    }
    const StepGate &gate = compute_.core.gate;
    if (gate.wait_ifmaps) text += "; the array waits for ifmaps";
    if (gate.wait_filters) text += "; the array waits for filters";
    if (gate.wait_psum_banks) text += "; the array waits for the drain";
    return text;
}

}  // namespace eyas::timing

// --- what Python calls, through ctypes ---

using eyas::timing::Machine;

extern "C" {

Machine *timing_new(const eyas::timing::Config *config, uint8_t *memory, uint64_t memory_bytes,
                    const eyas::MemorySettings *settings, uint32_t address, uint32_t length) {
    return new Machine(*config, memory, memory_bytes, *settings, address, length);
}
void timing_delete(Machine *machine) { delete machine; }
int timing_run(Machine *machine, uint64_t cycles) { return machine->run(cycles); }
uint64_t timing_progress(const Machine *machine) { return machine->progress(); }
const uint64_t *timing_counters(const Machine *machine) { return machine->counters.totals; }
const char *timing_failure(const Machine *machine) { return machine->failure.c_str(); }
void timing_describe(const Machine *machine, char *text, uint64_t size) {
    std::snprintf(text, size, "%s", machine->describe().c_str());
}

}  // extern "C"
