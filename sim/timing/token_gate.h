// hw/token_gate.py: holds commands back until their tokens are there, gives tokens when they end.

#pragma once

#include <algorithm>

#include "command_queues.h"

namespace eyas::timing {

class TokenGate {
  public:
    static constexpr unsigned ENGINES = CommandQueues::ENGINES;

    const Command *offered[ENGINES] = {};  // null: nothing
    unsigned missing[ENGINES] = {};        // bit s: the head lacks a token from engine s
    bool no_room[ENGINES] = {};            // too many of the engine's commands are under way

    explicit TokenGate(const Config &config) : in_flight_(std::max(8u, config.outstanding)) {}

    void evaluate(const CommandQueues &queues) {
        for (unsigned engine = 0; engine < ENGINES; ++engine) {
            const Command *head = queues.head(engine);
            offered[engine] = nullptr;
            missing[engine] = 0;
            if (!head) continue;
            if (!head->is_set()) {
                no_room[engine] = false;
                for (unsigned other = 0; other < ENGINES; ++other) {
                    if (other == engine) continue;
                    if (head->header.wait >> other & 1 && !tokens_[other][engine])
                        missing[engine] |= 1u << other;
                    if (gives_[engine][other].level == in_flight_) no_room[engine] = true;
                }
                if (missing[engine] || no_room[engine]) continue;
            }
            offered[engine] = head;
        }
    }

    bool running() const { return under_way_ != 0; }

    // ended[e] bit k: a command of engine e has ended for engine k.
    void update(const bool taken[ENGINES], const unsigned ended[ENGINES]) {
        for (unsigned engine = 0; engine < ENGINES; ++engine) {
            const Command *command = taken[engine] ? offered[engine] : nullptr;
            if (command && command->is_set()) command = nullptr;
            if (!command && !ended[engine]) continue;
            for (unsigned other = 0; other < ENGINES; ++other) {
                if (other == engine) continue;
                auto &gives = gives_[engine][other];
                if (ended[engine] >> other & 1) {
                    tokens_[engine][other] += gives.front();
                    gives.pop();
                    --under_way_;
                }
                if (!command) continue;
                gives.push(command->header.give >> other & 1);
                ++under_way_;
                if (command->header.wait >> other & 1) --tokens_[other][engine];
            }
        }
    }

  private:
    const unsigned in_flight_;
    unsigned tokens_[ENGINES][ENGINES] = {};  // [from][to]
    Fifo<uint8_t, 32> gives_[ENGINES][ENGINES];
    unsigned under_way_ = 0;
};

}  // namespace eyas::timing
