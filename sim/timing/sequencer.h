// hw/sequencer.py: fetches commands, queues them for their engines, minds the tokens.

#pragma once

#include "axi_read_arbiter.h"
#include "token_gate.h"

namespace eyas::timing {

class Sequencer {
  public:
    CommandFetch fetch;
    CommandQueues queues;
    TokenGate gate;
    AxiReadArbiter arbiter;

    Sequencer(const Config &config, const std::vector<Command> &program)
        : fetch(config), queues(config, program), gate(config) {}

    // engines_busy: any of them. Whether the run ends with this cycle.
    bool done(bool engines_busy) const {
        for (const Command *command : gate.offered)
            if (command) return false;
        return queues.end && queues.empty() && !gate.running() && !engines_busy && !fetch.busy();
    }

    bool no_end() const { return fetch.exhausted() && queues.drained() && !queues.end; }

    // beat: of a command, from memory, taken if the queues are ready; last: of its burst.
    void update(bool ar_ready, bool beat, bool last, const bool taken[], const unsigned ended[]) {
        beat = beat && queues.ready();
        const bool run = !queues.end;
        gate.update(taken, ended);
        queues.update(beat, taken);
        fetch.update(run, ar_ready && arbiter.to_commands, beat && last, queues.freed);
        arbiter.update(ar_ready);
    }
};

}  // namespace eyas::timing
