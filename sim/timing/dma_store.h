// hw/dma_store.py: GLB, or hardware counters, to memory.
//
// Words of the GLB have no data here; those of counters do, so that snapshots end up in memory.

#pragma once

#include "../memory_model.h"
#include "descriptor_walker.h"
#include "queues.h"

namespace eyas::timing {

// Reads the words of bursts into a queue.
class WordReader {
  public:
    struct Request {
        uint32_t glb = 0, words = 0;
        bool counters = false;
    };
    struct Word {
        uint64_t data;
        bool last, counters;
    };
    Fifo<Word, 8> words;

    explicit WordReader(const Config &config)
        : credits_(config.bus_bytes == WORD_BYTES ? 8 : 4) {}

    bool wants() const { return active_ && credits_ != 0; }
    bool wants_fmap() const { return wants() && !burst_.counters; }
    bool wants_counter() const { return wants() && burst_.counters; }
    uint32_t address() const { return burst_.glb; }
    bool reads_counters() const { return active_ && burst_.counters; }
    bool ready(bool word) const { return !active_ || (word && burst_.words == 1); }
    bool idle() const { return !active_ && !words.readable() && !on_its_way_[0] && !on_its_way_[1]; }

    // word: a request transfers, its answer will be `data`. sent: the queue gives a word away.
    void update(bool word, uint64_t data, bool sent, bool given, const Request &next) {
        if (sent) words.pop();
        if (on_its_way_[1]) words.push(returns_[1]);
        on_its_way_[1] = on_its_way_[0];
        returns_[1] = returns_[0];
        on_its_way_[0] = word;
        returns_[0] = {data, burst_.words == 1, burst_.counters};
        credits_ += unsigned(sent) - unsigned(word);
        if (ready(word)) {
            active_ = given;
            burst_ = next;
        } else if (word) {
            ++burst_.glb;
            --burst_.words;
        }
    }

  private:
    Request burst_;
    bool active_ = false;
    unsigned credits_;
    bool on_its_way_[GLB_READ_LATENCY] = {};
    Word returns_[GLB_READ_LATENCY] = {};
};

class StoreEngine {
  public:
    DescriptorWalker walker;
    WordReader reader;

    explicit StoreEngine(const Config &config)
        : walker(config), reader(config), parts_(WORD_BYTES / config.bus_bytes) {
        records_.depth = config.outstanding;
    }

    // Of this cycle.
    bool aw_valid = false, w_valid = false, w_last = false, b_ready = false;
    bool beat = false, word = false, ended = false, busy = false, command_ready = false;
    uint64_t w_data = 0;
    uint8_t w_strobes = 0;

    uint32_t aw_beats() const { return walker.burst.words * parts_; }
    bool pending() const { return records_.readable(); }  // STOREs have not all ended
    bool stores_counters() const {
        return waiting_counters_ || reader.reads_counters() ||
               (walker.active && walker.descriptor().space == fields::SPACE_COUNTERS);
    }

    void evaluate(const Command *command, const Subordinate &bus, bool fmap_granted,
                  bool counter_granted) {
        walker.evaluate(command);
        const bool some = records_.readable();
        busy = walker.active || some;
        free_ = records_.writable() && !waiting_;
        aw_valid = walker.valid && !walker.burst.empty && free_;
        burst_ready_ = walker.burst.empty ? records_.writable() : free_ && bus.awready;
        command_ready = walker.command_ready(burst_ready_);
        word = reader.wants_fmap() && fmap_granted;
        read_ = word || (reader.wants_counter() && counter_granted);
        offer_beat();
        beat = w_valid && bus.wready;
        sent_ = beat && part_ == parts_ - 1;
        b_ready = some && !records_.front().empty;
        response_ = some && (records_.front().empty || bus.bvalid);
        ended = response_ && records_.front().last;
    }

    void update(uint64_t counter) {
        if (!busy && reader.idle() && !waiting_) return;
        const bool issue = aw_valid && burst_ready_;
        const bool reader_ready = reader.ready(read_);
        reader.update(read_, counter, sent_, waiting_, following_);
        if (issue) {
            const bool counters = walker.descriptor().space == fields::SPACE_COUNTERS;
            waiting_ = true;
            following_ = {walker.burst.glb, walker.burst.words, counters};
        } else if (reader_ready) {
            waiting_ = false;
        }
        waiting_counters_ = waiting_ && following_.counters;
        if (beat) part_ = part_ + 1 == parts_ ? 0 : part_ + 1;
        if (response_) records_.pop();
        if (walker.valid && burst_ready_) records_.push({walker.burst.last, walker.burst.empty});
        walker.update(burst_ready_);
    }

  private:
    struct Record {
        bool last, empty;
    };
    const unsigned parts_;
    Fifo<Record, 32> records_;
    WordReader::Request following_;  // the burst that waits for the reader
    bool waiting_ = false, waiting_counters_ = false;
    bool free_ = false, burst_ready_ = false, read_ = false, sent_ = false, response_ = false;
    unsigned part_ = 0;

    void offer_beat() {
        w_valid = reader.words.readable();
        if (!w_valid) return;
        const WordReader::Word &front = reader.words.front();
        const unsigned bits = 64 / parts_;
        w_data = parts_ == 1 ? front.data : front.data >> (bits * part_) & 0xFFFFFFFFu;
        w_strobes = front.counters ? uint8_t((1u << bits / 8) - 1) : 0;
        w_last = front.last && part_ == parts_ - 1;
    }
};

}  // namespace eyas::timing
