#include "machine.h"

namespace eyas::timing {

// The memory's bucket of tokens fills, and what it drives follows.
static uint64_t settle_cycles(const Config &config, const MemorySettings &settings) {
    const double rate = settings.bytes_per_cycle;
    return 8 + (rate > 0 ? uint64_t(4 * config.bus_bytes / rate) : 0);
}

Machine::Machine(const Config &config, uint8_t *memory, uint64_t memory_bytes,
                 const MemorySettings &settings, uint32_t address, uint32_t length)
    : counters(config, ODD_START), config_(config),
      memory_(memory, memory_bytes, config.bus_bytes, settings), sequencer_(config, program_),
      load_(config), compute_(config, counters), store_(config), fmap_writes_(config.ifmap_ports),
      settle_cycles_(settle_cycles(config, settings)) {
    const auto *words = reinterpret_cast<const uint32_t *>(memory + (address - settings.base));
    for (uint32_t n = 0; n < length; ++n)
        program_.push_back(Command::at(words + n * COMMAND_BYTES / sizeof(uint32_t)));
    for (unsigned n = 0; n < START_CYCLES; ++n) memory_.step(Manager{});
    sequencer_.fetch.start(address, length);
}

bool Machine::run(uint64_t cycles) {
    for (uint64_t n = 0; n < cycles; ++n) {
        if (step()) return true;
        if (!failure.empty()) return false;
    }
    return false;
}

bool Machine::step() {
    ++cycle_;
    if (!resting_) return step_all();
    const Command *command = sequencer_.gate.offered[COMPUTE];
    compute_.evaluate(command);
    const bool ended = compute_.ended_for_load || compute_.ended_for_store;
    if (!ended && !(command && compute_.command_ready)) {
        rest();
        return false;
    }
    resting_ = false;
    memory_.cycle += rested_;
    sequencer_.queues.skip(rested_);
    rested_ = 0;
    return step_all();
}

// A cycle in which only the array and the drain do something.
void Machine::rest() {
    ++rested_;
    grant_reads();
    grant_filters();
    grant_writes();
    counters.add(fields::CYCLES, 1);
    counters.add(fields::GLB_READS, glb_reads_);
    counters.add(fields::GLB_WRITES, glb_writes_);
    count_stalls();
    compute_.update(nullptr, ifmap_banks_, filter_banks_, cycle_ + 1);
    move_banks();
    counters.update(false, false);
}

bool Machine::nothing_else_works(const bool taken[], const unsigned ended[]) const {
    for (unsigned engine = 0; engine < ENGINES; ++engine)
        if (taken[engine] || ended[engine]) return false;
    return !load_.busy && !store_.busy && store_.reader.idle() && !dispatch_.running() &&
           !dispatch_.to_vector && sequencer_.fetch.idle() && sequencer_.queues.stuck();
}

bool Machine::step_all() {
    const Subordinate bus = memory_.out;
    TokenGate &gate = sequencer_.gate;
    gate.evaluate(sequencer_.queues);
    dispatch_.evaluate(gate.offered[STORE], store_.pending());
    compute_.evaluate(gate.offered[COMPUTE]);
    grant_reads();
    grant_filters();
    grant_writes();
    load_.evaluate(gate.offered[LOAD], load_granted_);
    store_.evaluate(dispatch_.to_store, bus, store_granted_, counters.grants());

    sequencer_.arbiter.evaluate(load_.ar_valid, sequencer_.fetch.ar_valid());
    load_.accept(bus.arready && !sequencer_.arbiter.to_commands);
    const bool for_commands = bus.rid == AxiReadArbiter::COMMANDS_ID;
    const Manager driven = drive(for_commands);
    memory_.step(driven);

    const bool vector_done = vector_.done();
    const bool vector_taken = dispatch_.to_vector && vector_.ready();
    const bool taken[ENGINES] = {
        gate.offered[LOAD] && load_.command_ready,
        gate.offered[COMPUTE] && compute_.command_ready,
        (dispatch_.to_store && store_.command_ready) || vector_taken,
    };
    const unsigned ended[ENGINES] = {
        load_.ended ? 1u << COMPUTE | 1u << STORE : 0u,
        unsigned(compute_.ended_for_load) << LOAD | unsigned(compute_.ended_for_store) << STORE,
        store_.ended || vector_done ? 1u << LOAD | 1u << COMPUTE : 0u,
    };
    const bool busy = load_.busy || compute_.busy || store_.busy || dispatch_.running();
    const bool done = sequencer_.done(busy);
    count(bus, driven.rready);
    const bool reads_counter = store_.reader.wants_counter() && counters.grants();
    const uint64_t counter = reads_counter ? counters.read(store_.reader.address()) : 0;
    const bool records = store_.stores_counters();

    load_.update(bus.rvalid && !for_commands, bus);
    store_.update(counter);
    vector_.update(vector_taken ? dispatch_.to_vector : nullptr, vector_read_, vector_write_);
    dispatch_.update(vector_taken, vector_done);
    compute_.update(gate.offered[COMPUTE], ifmap_banks_, filter_banks_, cycle_ + 1);
    sequencer_.update(bus.arready, bus.rvalid && for_commands, bus.rlast, taken, ended);
    move_banks();
    counters.update(reads_counter, records);
    idle_cycles_ = nothing_else_works(taken, ended) ? idle_cycles_ + 1 : 0;
    resting_ = idle_cycles_ > settle_cycles_;

    if (sequencer_.queues.invalid) failure = "a command's opcode, engine or block does not exist";
    if (sequencer_.no_end()) failure = "the program has no END";
    if (memory_.errors) failure = "a command reads or writes outside of the memory";
    return done;
}

Manager Machine::drive(bool for_commands) const {
    Manager out{};
    const bool commands = sequencer_.arbiter.to_commands;
    out.arvalid = sequencer_.arbiter.valid();
    out.arid = commands ? AxiReadArbiter::COMMANDS_ID : AxiReadArbiter::LOAD_ID;
    out.araddr = commands ? sequencer_.fetch.ar_address() : load_.walker.burst.memory * WORD_BYTES;
    out.arlen = uint8_t((commands ? sequencer_.fetch.burst_beats : load_.ar_beats()) - 1);
    out.awvalid = store_.aw_valid;
    out.awaddr = store_.walker.burst.memory * WORD_BYTES;
    out.awlen = uint8_t(store_.aw_beats() - 1);
    out.arsize = out.awsize = config_.bus_bytes == WORD_BYTES ? 3 : 2;
    out.arburst = out.awburst = 1;
    out.rready = for_commands ? sequencer_.queues.ready() : load_.r_ready;
    out.wvalid = store_.w_valid;
    out.wdata = store_.w_data;
    out.wstrb = store_.w_strobes;
    out.wlast = store_.w_last;
    out.bready = store_.b_ready;
    return out;
}

void Machine::move_banks() {
    for (unsigned n = 0; n < config_.ifmap_ports; ++n) ifmap_banks_[n].update();
    for (unsigned n = 0; n < config_.filter_ports; ++n) filter_banks_[n].update();
}

}  // namespace eyas::timing
