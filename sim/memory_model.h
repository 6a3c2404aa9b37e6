// An AXI4 memory with settable timing, which also checks that the accelerator keeps to AXI4.
//
//    AR ─► reads  ─ latency ─► token bucket ─► R
//    AW ─► writes ─┐               │
//    W  ─► data ───┴─ latency ◄────┘ ─────────► B
//
// Reads and writes share `bytes_per_cycle`. Timing is as unkind as AXI4 allows: a read sees memory as
// of its address transfer, and a write lands when its response is given. So a program or DMA that
// forgets to wait gives wrong data here, not only on some boards.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace eyas {

// Mirrored by _Settings in sim/bulk_library.py.
struct MemorySettings {
    uint64_t base;           // address of the first byte
    uint64_t seed;           // of the random numbers behind `stall` and `reorder`
    double bytes_per_cycle;  // reads and writes together; 0: no limit but the bus
    double stall;            // probability that a channel pauses in a cycle
    uint32_t read_latency;   // cycles from the address transfer to the first data beat
    uint32_t write_latency;  // cycles from the last of address and data to the response
    uint32_t outstanding;    // read bursts accepted and not finished; as many write bursts
    uint32_t reorder;        // 1: bursts of different IDs overtake one another
};

// What the accelerator drives, and what the memory drives.
struct Manager {
    bool arvalid, rready, awvalid, wvalid, wlast, bready;
    uint8_t arid, arlen, arsize, arburst, awid, awlen, awsize, awburst, wstrb;
    uint32_t araddr, awaddr;
    uint64_t wdata;
};
struct Subordinate {
    bool arready, rvalid, rlast, awready, wready, bvalid;
    uint8_t rid, rresp, bid, bresp;
    uint64_t rdata;
};

class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
    uint64_t next() {  // xorshift64*
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1Du;
    }
    bool chance(double p) { return p > 0 && double(next() >> 11) * 0x1p-53 < p; }

  private:
    uint64_t state_;
};

class MemoryModel {
  public:
    static constexpr uint8_t OKAY = 0, DECERR = 3;

    Subordinate out{};
    std::string violation;         // the first breach of AXI4, if any
    uint64_t cycle = 0;            // steps so far
    uint64_t last_transfer = 0;    // cycle of the last transfer on any channel
    uint64_t read_bytes = 0;       // in read data beats
    uint64_t write_bytes = 0;      // in write data beats, whatever their strobes
    uint64_t strobed_bytes = 0;    // written into memory
    uint64_t errors = 0;           // bursts outside of the memory
    uint64_t error_address = 0;    // of the last of them

    MemoryModel(uint8_t *memory, uint64_t size, unsigned bus_bytes, const MemorySettings &settings)
        : memory_(memory), size_(size), bus_bytes_(bus_bytes), settings_(settings),
          random_(settings.seed) {}

    void configure(const MemorySettings &settings) {
        settings_ = settings;
        random_ = Random(settings.seed);
    }

    // Forgets everything in flight, as a reset does.
    void reset() {
        out = {};
        violation.clear();
        reads_.clear();
        writes_.clear();
        early_.clear();
        presented_ = reserved_ = ar_waited_ = aw_waited_ = w_waited_ = false;
        tokens_ = 0;
    }

    // One clock edge: takes what the accelerator drove in this cycle, decides the next cycle's `out`.
    void step(const Manager &in) {
        ++cycle;
        check_stable(in);
        refill(in);
        if (in.arvalid && out.arready) accept_read(in);
        if (in.awvalid && out.awready) accept_write(in);
        if (in.wvalid && out.wready) accept_data(in);
        if (out.rvalid && in.rready) finish_beat();
        if (out.bvalid && in.bready) moved(), out.bvalid = false;
        join_data();
        if (w_waited_ && read_went_last_) {
            offer_data(), offer_beat();
        } else {
            offer_beat(), offer_data();
        }
        offer_response();
        out.arready = reads_.size() < settings_.outstanding && !random_.chance(settings_.stall);
        out.awready = writes_.size() < settings_.outstanding && !random_.chance(settings_.stall);
    }

  private:
    struct Burst {
        uint8_t id, response;
        unsigned beats, beat_bytes, done;
        uint64_t address, due;
        std::vector<uint8_t> data, strobes;
    };
    struct Beat {
        uint64_t data;
        uint8_t strobes;
        bool last;
    };
    static constexpr size_t EARLY_BEATS = 16;  // write data accepted before its address

    uint8_t *memory_;
    uint64_t size_;
    unsigned bus_bytes_;
    MemorySettings settings_;
    Random random_;
    std::deque<Burst> reads_, writes_;
    std::deque<Beat> early_;
    Manager previous_{};
    bool ar_waited_ = false, aw_waited_ = false, w_waited_ = false;
    double tokens_ = 0;
    bool presented_ = false;  // a read beat is on the bus: reads_[current_]
    bool reserved_ = false;   // wready is up, its bytes taken from the bucket
    bool read_went_last_ = false;
    size_t current_ = 0;

    void moved() { last_transfer = cycle; }

    void violate(const char *format, unsigned long long a, unsigned long long b = 0) {
        if (!violation.empty()) return;
        char text[200];
        std::snprintf(text, sizeof text, format, a, b);
        violation = text;
    }

    // --- the token bucket ---

    void refill(const Manager &in) {
        if (reserved_ && !(in.wvalid && out.wready)) tokens_ += bus_bytes_;
        reserved_ = false;
        const double capacity = bus_bytes_ + std::max<double>(bus_bytes_, settings_.bytes_per_cycle);
        tokens_ = std::min(capacity, tokens_ + settings_.bytes_per_cycle);
    }

    bool take_tokens() {
        if (settings_.bytes_per_cycle <= 0) return true;
        if (tokens_ < bus_bytes_) return false;
        tokens_ -= bus_bytes_;
        return true;
    }

    // --- address channels ---

    Burst begin(uint8_t id, uint32_t address, uint8_t len, uint8_t size, uint8_t type) {
        moved();
        Burst burst{id, OKAY, len + 1u, 1u << size, 0, address - settings_.base, 0, {}, {}};
        const uint64_t bytes = uint64_t(burst.beats) * burst.beat_bytes;
        if (type != 1 && len) violate("burst at 0x%llx is of type %llu, not INCR", address, type);
        if (burst.beat_bytes > bus_bytes_)
            violate("burst at 0x%llx has beats of %llu bytes", address, burst.beat_bytes);
        if (address % burst.beat_bytes) violate("burst at 0x%llx is not aligned", address);
        if (address / 4096 != (address + bytes - 1) / 4096)
            violate("burst at 0x%llx of %llu bytes crosses a 4 KiB boundary", address, bytes);
        if (address < settings_.base || burst.address + bytes > size_) {
            burst.response = DECERR;
            ++errors;
            error_address = address;
        }
        burst.data.assign(bytes, 0);
        return burst;
    }

    void accept_read(const Manager &in) {
        Burst burst = begin(in.arid, in.araddr, in.arlen, in.arsize, in.arburst);
        if (burst.response == OKAY)
            std::memcpy(burst.data.data(), memory_ + burst.address, burst.data.size());
        burst.due = cycle + settings_.read_latency;
        reads_.push_back(std::move(burst));
    }

    void accept_write(const Manager &in) {
        Burst burst = begin(in.awid, in.awaddr, in.awlen, in.awsize, in.awburst);
        burst.strobes.assign(burst.data.size(), 0);
        writes_.push_back(std::move(burst));
    }

    // --- read data ---

    void offer_beat() {
        if (presented_ || reads_.empty() || random_.chance(settings_.stall)) return;
        const int chosen = choose(reads_, [](const Burst &) { return true; });
        if (chosen < 0 || !take_tokens()) return;
        read_went_last_ = true;
        presented_ = true;
        current_ = size_t(chosen);
        const Burst &burst = reads_[current_];
        const uint64_t offset = uint64_t(burst.done) * burst.beat_bytes;
        const uint64_t lane = (burst.address + offset) % bus_bytes_;
        uint64_t word = 0;
        std::memcpy(&word, burst.data.data() + offset, std::min(burst.beat_bytes, 8u));
        out.rvalid = true;
        out.rdata = word << (8 * lane);
        out.rid = burst.id;
        out.rresp = burst.response;
        out.rlast = burst.done + 1 == burst.beats;
    }

    void finish_beat() {
        moved();
        Burst &burst = reads_[current_];
        read_bytes += burst.beat_bytes;
        if (++burst.done == burst.beats) reads_.erase(reads_.begin() + long(current_));
        out.rvalid = presented_ = false;
    }

    // --- write data and responses ---

    void offer_data() {
        out.wready = early_.size() < EARLY_BEATS && !random_.chance(settings_.stall) && take_tokens();
        reserved_ = out.wready;
    }

    void accept_data(const Manager &in) {
        moved();
        read_went_last_ = false;
        write_bytes += bus_bytes_;
        early_.push_back({in.wdata, in.wstrb, in.wlast});
    }

    // Gives data beats to the oldest burst that misses some.
    void join_data() {
        for (Burst &burst : writes_) {
            while (burst.done < burst.beats) {
                if (early_.empty()) return;
                put(burst, early_.front());
                early_.pop_front();
            }
        }
    }

    void put(Burst &burst, const Beat &beat) {
        const uint64_t offset = uint64_t(burst.done) * burst.beat_bytes;
        const uint64_t lane = (burst.address + offset) % bus_bytes_;
        for (unsigned i = 0; i < burst.beat_bytes; ++i) {
            burst.data[offset + i] = uint8_t(beat.data >> (8 * (lane + i)));
            burst.strobes[offset + i] = beat.strobes >> (lane + i) & 1;
        }
        ++burst.done;
        if (beat.last != (burst.done == burst.beats))
            violate("wlast is wrong in beat %llu of a burst of %llu", burst.done, burst.beats);
        if (burst.done == burst.beats) burst.due = cycle + settings_.write_latency;
    }

    void offer_response() {
        if (out.bvalid || writes_.empty() || random_.chance(settings_.stall)) return;
        const int chosen = choose(writes_, [](const Burst &b) { return b.done == b.beats; });
        if (chosen < 0) return;
        const Burst &burst = writes_[size_t(chosen)];
        if (burst.response == OKAY) land(burst);
        out.bvalid = true;
        out.bid = burst.id;
        out.bresp = burst.response;
        writes_.erase(writes_.begin() + chosen);
    }

    void land(const Burst &burst) {
        for (size_t i = 0; i < burst.data.size(); ++i) {
            if (burst.strobes[i]) {
                memory_[burst.address + i] = burst.data[i];
                ++strobed_bytes;
            }
        }
    }

    // Index of the burst that goes next, or -1: the oldest, or with `reorder` the oldest of any ID.
    template <typename Complete> int choose(const std::deque<Burst> &bursts, Complete complete) {
        int chosen = -1;
        unsigned candidates = 0, seen[8] = {};  // one bit for each of 256 IDs
        for (size_t i = 0; i < bursts.size() && (settings_.reorder || i == 0); ++i) {
            const Burst &burst = bursts[i];
            const unsigned bit = 1u << burst.id % 32;
            if (seen[burst.id / 32] & bit) continue;
            seen[burst.id / 32] |= bit;
            if (!complete(burst) || cycle + 1 < burst.due) continue;
            if (random_.next() % ++candidates == 0) chosen = int(i);
        }
        return chosen;
    }

    // A valid that waits for its ready must stay, with its payload.
    void check_stable(const Manager &in) {
        const Manager &old = previous_;
        if (ar_waited_ && !(in.arvalid && in.araddr == old.araddr && in.arlen == old.arlen))
            violate("arvalid or its payload changed while it waited (0x%llx)", old.araddr);
        if (aw_waited_ && !(in.awvalid && in.awaddr == old.awaddr && in.awlen == old.awlen))
            violate("awvalid or its payload changed while it waited (0x%llx)", old.awaddr);
        if (w_waited_ && !(in.wvalid && in.wdata == old.wdata && in.wstrb == old.wstrb))
            violate("wvalid or its payload changed while it waited (0x%llx)", old.wdata);
        ar_waited_ = in.arvalid && !out.arready;
        aw_waited_ = in.awvalid && !out.awready;
        w_waited_ = in.wvalid && !out.wready;
        previous_ = in;
    }
};

}  // namespace eyas
