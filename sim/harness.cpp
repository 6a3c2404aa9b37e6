// What drives a Verilated accelerator: clock, reset, AXI4-Lite accesses, memory, waves.
//
// Compiled together with Verilator's model `Veyas` into a shared library for sim/simulator.py. The
// model has a register behind every input (sim/bulk_library.py): what is driven before a clock edge
// is what the accelerator sees after it. Memory and host decide in each cycle what they drive in the
// next, so one evaluation a cycle, at the edge, is enough.

#include <memory>
#include <string>
#include <type_traits>

#include "Veyas.h"
#include "eyas_banks.h"
#include "memory_model.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using WaveFile = VerilatedFstC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using WaveFile = VerilatedVcdC;
#endif

namespace eyas {

// Mirrored by _State in sim/bulk_library.py.
struct State {
    uint64_t cycle, last_transfer, finished;  // finished: cycle of the interrupt
    uint64_t read_bytes, write_bytes, strobed_bytes;
    uint64_t errors, error_address;
};

// What the host drives of AXI4-Lite, beside addresses and data.
struct Host {
    bool awvalid = false, wvalid = false, bready = false, arvalid = false, rready = false;
};

enum Outcome { LIMIT = 0, INTERRUPT = 1, VIOLATION = 2 };

class Harness {
  public:
    using BusData = std::remove_reference_t<decltype(Veyas::m_axi_rdata)>;
    static constexpr unsigned BUS_BYTES = sizeof(BusData);
    static constexpr int HOST_LIMIT = 10000;  // cycles until a register access counts as hung

    MemoryModel memory;

    Harness(uint8_t *bytes, uint64_t size, const MemorySettings &settings)
        : memory(bytes, size, BUS_BYTES, settings), model_(&context_) {
#if VM_TRACE
        context_.traceEverOn(true);
#endif
        model_.clk = 0;
        model_.rst = 1;
        model_.eval();
    }

    ~Harness() {
        close_waves();
        model_.final();
    }

    void reset(unsigned cycles) {
        model_.rst = 1;
        host_ = {};
        for (unsigned i = 0; i < cycles; ++i) {
            memory.reset();
            step();
        }
        memory.reset();
        model_.rst = 0;
        step();
        interrupted_ = false;
    }

    // Runs until the interrupt rises, if it has not since `forget_interrupt`.
    Outcome run(uint64_t max_cycles) {
        for (uint64_t i = 0; i < max_cycles && !interrupted_; ++i) {
            step();
            if (!memory.violation.empty()) return VIOLATION;
        }
        return interrupted_ ? INTERRUPT : LIMIT;
    }

    void forget_interrupt() { interrupted_ = false; }

    // The response, or -1 when the accelerator does not answer.
    int write_register(uint32_t address, uint32_t data) {
        model_.s_axi_awaddr = address;
        model_.s_axi_wdata = data;
        model_.s_axi_wstrb = 0xF;
        Host seen = host_;  // by the accelerator, in the current cycle
        host_ = {.awvalid = true, .wvalid = true, .bready = true};
        for (int i = 0; i < HOST_LIMIT; ++i) {
            const bool done = seen.bready && model_.s_axi_bvalid;
            const int response = model_.s_axi_bresp;
            if (seen.awvalid && model_.s_axi_awready) host_.awvalid = false;
            if (seen.wvalid && model_.s_axi_wready) host_.wvalid = false;
            if (done) host_ = {};
            seen = host_;
            step();
            if (done) return response;
        }
        return host_ = {}, -1;
    }

    int read_register(uint32_t address, uint32_t *data) {
        model_.s_axi_araddr = address;
        Host seen = host_;
        host_ = {.arvalid = true, .rready = true};
        for (int i = 0; i < HOST_LIMIT; ++i) {
            const bool done = seen.rready && model_.s_axi_rvalid;
            const int response = model_.s_axi_rresp;
            *data = model_.s_axi_rdata;
            if (seen.arvalid && model_.s_axi_arready) host_.arvalid = false;
            if (done) host_ = {};
            seen = host_;
            step();
            if (done) return response;
        }
        return host_ = {}, -1;
    }

    State state() const {
        return {memory.cycle,       memory.last_transfer, finished_,     memory.read_bytes,
                memory.write_bytes, memory.strobed_bytes, memory.errors, memory.error_address};
    }

    Bank bank(unsigned index) { return eyas::bank(model_.rootp, index); }

    bool open_waves(const char *path) {
#if VM_TRACE
        close_waves();
        waves_ = std::make_unique<WaveFile>();
        model_.trace(waves_.get(), 99);
        waves_->open(path);
        return waves_->isOpen();
#else
        (void)path;
        return false;
#endif
    }

    void close_waves() {
#if VM_TRACE
        if (waves_) waves_->close();
        waves_.reset();
#endif
    }

  private:
    VerilatedContext context_;
    Veyas model_;
    bool interrupted_ = false, interrupt_was_ = false;
    uint64_t finished_ = 0;
    Host host_;
#if VM_TRACE
    std::unique_ptr<WaveFile> waves_;
#endif

    // One clock cycle, from just before an edge to just before the next.
    void step() {
        memory.step(sample());
        drive();
        model_.clk = 1;
        evaluate();
        model_.clk = 0;
        evaluate();
        const bool interrupt = model_.finished;
        if (interrupt && !interrupt_was_) {
            interrupted_ = true;
            finished_ = memory.cycle;
        }
        interrupt_was_ = interrupt;
    }

    void evaluate() {
        model_.eval();
#if VM_TRACE
        if (waves_) waves_->dump(context_.time());
        context_.timeInc(1);
#endif
    }

    void drive() {
        const Subordinate &out = memory.out;
        model_.m_axi_arready = out.arready;
        model_.m_axi_rvalid = out.rvalid;
        model_.m_axi_rdata = BusData(out.rdata);
        model_.m_axi_rid = out.rid;
        model_.m_axi_rresp = out.rresp;
        model_.m_axi_rlast = out.rlast;
        model_.m_axi_awready = out.awready;
        model_.m_axi_wready = out.wready;
        model_.m_axi_bvalid = out.bvalid;
        model_.m_axi_bid = out.bid;
        model_.m_axi_bresp = out.bresp;
        model_.s_axi_awvalid = host_.awvalid;
        model_.s_axi_wvalid = host_.wvalid;
        model_.s_axi_bready = host_.bready;
        model_.s_axi_arvalid = host_.arvalid;
        model_.s_axi_rready = host_.rready;
    }

    Manager sample() const {
        Manager in{};
        in.arvalid = model_.m_axi_arvalid;
        in.arid = model_.m_axi_arid;
        in.araddr = model_.m_axi_araddr;
        in.arlen = model_.m_axi_arlen;
        in.arsize = model_.m_axi_arsize;
        in.arburst = model_.m_axi_arburst;
        in.rready = model_.m_axi_rready;
        in.awvalid = model_.m_axi_awvalid;
        in.awid = model_.m_axi_awid;
        in.awaddr = model_.m_axi_awaddr;
        in.awlen = model_.m_axi_awlen;
        in.awsize = model_.m_axi_awsize;
        in.awburst = model_.m_axi_awburst;
        in.wvalid = model_.m_axi_wvalid;
        in.wdata = model_.m_axi_wdata;
        in.wstrb = model_.m_axi_wstrb;
        in.wlast = model_.m_axi_wlast;
        in.bready = model_.m_axi_bready;
        return in;
    }
};

}  // namespace eyas

// --- what Python calls, through ctypes ---

using eyas::Harness;

extern "C" {

Harness *eyas_new(uint8_t *memory, uint64_t size, const eyas::MemorySettings *settings) {
    return new Harness(memory, size, *settings);
}
void eyas_delete(Harness *h) { delete h; }
void eyas_configure(Harness *h, const eyas::MemorySettings *settings) {
    h->memory.configure(*settings);
}
void eyas_reset(Harness *h, uint32_t cycles) { h->reset(cycles); }
void eyas_forget_interrupt(Harness *h) { h->forget_interrupt(); }
int eyas_run(Harness *h, uint64_t max_cycles) { return h->run(max_cycles); }
int eyas_write_register(Harness *h, uint32_t address, uint32_t data) {
    return h->write_register(address, data);
}
int eyas_read_register(Harness *h, uint32_t address, uint32_t *data) {
    return h->read_register(address, data);
}
void eyas_state(const Harness *h, eyas::State *state) { *state = h->state(); }
const char *eyas_violation(const Harness *h) { return h->memory.violation.c_str(); }
uint64_t *eyas_bank(Harness *h, uint32_t index, uint64_t *depth) {
    const eyas::Bank bank = h->bank(index);
    *depth = bank.depth;
    return bank.words;
}
int eyas_open_waves(Harness *h, const char *path) { return h->open_waves(path); }
void eyas_close_waves(Harness *h) { h->close_waves(); }

}  // extern "C"
