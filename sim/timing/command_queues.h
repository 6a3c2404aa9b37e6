// hw/command_queues.py: fetched commands, the engines' queues, and the mover between them.
//
// Commands are numbers here: their place in the program.

#pragma once

#include <vector>

#include "command_fetch.h"
#include "commands.h"
#include "queues.h"

namespace eyas::timing {

class CommandQueues {
  public:
    static constexpr unsigned ENGINES = 3, FETCHED = 3;

    bool end = false, invalid = false, freed = false;

    CommandQueues(const Config &config, const std::vector<Command> &program)
        : program_(program), beats_(COMMAND_BYTES / config.bus_bytes) {
        for (auto &queue : queues_) queue.depth = config.queue_depth;
    }

    bool ready() const { return !writing(); }  // for a fetched beat
    bool loaded(unsigned engine) const { return loaded_[engine]; }
    const Command *head(unsigned engine) const {
        return loaded_[engine] ? &program_[heads_[engine]] : nullptr;
    }
    unsigned head_number(unsigned engine) const { return heads_[engine]; }
    bool drained() const { return !queues_[FETCHED].readable(); }
    bool empty() const {
        for (unsigned engine = 0; engine < ENGINES; ++engine)
            if (loaded_[engine] || queues_[engine].readable()) return false;
        return true;
    }

    // Whether the mover has nothing to do until a head is taken: it tries one full queue again and
    // again, if anything.
    bool stuck() const {
        for (unsigned engine = 0; engine < ENGINES; ++engine)
            if (!loaded_[engine] && queues_[engine].readable()) return false;
        if (drained() || end) return !empty();
        const fields::Header &header = program_[queues_[FETCHED].front()].header;
        return is_valid(header) && !queues_[header.engine].writable();
    }
    // Some cycles of that.
    void skip(uint64_t cycles) {
        static const bool none[ENGINES] = {};
        for (uint64_t n = 0; n < cycles % RETRY_CYCLES; ++n) update(false, none);
    }

    // beat: a fetched one is taken. taken[e]: engine e's head is.
    void update(bool beat, const bool taken[ENGINES]) {
        const bool done = got_ && got_beat_ == beats_ - 1, was_writing = writing();
        const unsigned source = source_;
        const bool refused = was_writing && got_beat_ == 0 && refuses();
        freed = done && was_writing;
        if (refused) {
            reading_ = got_ = false;
        } else if (!reading_ && !got_) {
            choose();
            beat_ = 0;
        } else {
            got_ = reading_;
            got_beat_ = beat_;
            if (beat_++ == beats_ - 1) reading_ = false;
        }
        if (done) {
            const unsigned number = queues_[source].front();
            queues_[source].pop();
            if (source == FETCHED) {
                queues_[target_].push(number);
            } else {
                loaded_[source] = true;
                heads_[source] = number;
            }
        }
        for (unsigned engine = 0; engine < ENGINES; ++engine)
            if (taken[engine]) loaded_[engine] = false;
        if (beat && ++arrival_beat_ == beats_) {
            arrival_beat_ = 0;
            queues_[FETCHED].push(arrived_++);
        }
    }

  private:
    static constexpr unsigned RETRY_CYCLES = 3;  // from one try to the next
    const std::vector<Command> &program_;
    const unsigned beats_;
    Fifo<unsigned, 64> queues_[ENGINES + 1];
    bool loaded_[ENGINES] = {};
    unsigned heads_[ENGINES] = {};
    unsigned source_ = 0, target_ = 0, beat_ = 0, got_beat_ = 0, arrival_beat_ = 0, arrived_ = 0;
    bool reading_ = false, got_ = false;

    bool writing() const { return got_ && source_ == FETCHED; }

    // The next job: an empty head that can be filled, or else a fetched command.
    void choose() {
        source_ = 0;
        while (source_ < ENGINES && (loaded_[source_] || !queues_[source_].readable())) ++source_;
        reading_ = source_ != FETCHED || (queues_[FETCHED].readable() && !end && !invalid);
    }

    // Whether the fetched command stays where it is, from its header.
    bool refuses() {
        const fields::Header &header = program_[queues_[FETCHED].front()].header;
        if (header.opcode == fields::END) return end = true;
        if (!is_valid(header)) return invalid = true;
        target_ = unsigned(header.engine);
        return !queues_[target_].writable();
    }

    static bool is_valid(const fields::Header &header) {
        switch (header.opcode) {
            case fields::SET:
                return header.engine < int(ENGINES) && header.block < fields::BLOCKS[header.engine];
            case fields::LOAD: return header.engine == 0;
            case fields::COMPUTE: return header.engine == 1;
            case fields::STORE:
            case fields::VECTOR: return header.engine == 2;
            default: return false;
        }
    }
};

}  // namespace eyas::timing
