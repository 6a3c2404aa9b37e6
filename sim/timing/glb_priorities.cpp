// Who gets each bank of the GLB in a cycle: the order of priorities of hw/top.py.

#include "machine.h"

namespace eyas::timing {

// Reads of fmaps, highest priority first: operands of lanes, STORE, rows, vector unit.
void Machine::grant_reads() {
    const uint32_t low = config_.ifmap_ports - 1;
    glb_reads_ = 0;
    store_granted_ = vector_read_ = false;
    if (config_.merge) grant_operands();
    if (store_.reader.wants_fmap()) {
        BankReads &bank = ifmap_banks_[store_.reader.address() & low];
        store_granted_ = bank.granted == NOBODY;
        if (store_granted_) bank.granted = STORE_CLIENT;
    }
    for (unsigned n = 0; n < config_.ifmap_ports; ++n) {
        const uint32_t rows = compute_.core.ifmap_requests[n];
        if (!rows || ifmap_banks_[n].granted != NOBODY) continue;
        ifmap_banks_[n].granted = __builtin_ctz(rows);
        ++glb_reads_;
    }
    if (vector_.read_valid()) {
        BankReads &bank = ifmap_banks_[vector_.read_address() & low];
        vector_read_ = bank.granted == NOBODY;
        if (vector_read_) bank.granted = VECTOR_CLIENT;
    }
}

void Machine::grant_operands() {
    OperandReader &operands = compute_.drain.operands;
    uint32_t &granted = compute_.drain.operands_granted;
    granted = 0;
    if (operands.idle()) return;
    for (unsigned n = 0; n < config_.lanes; ++n) {
        const OperandReader::Lane &lane = operands.lanes[n];
        BankReads &bank = ifmap_banks_[lane.address & (config_.ifmap_ports - 1)];
        if (!lane.request || bank.granted != NOBODY) continue;
        bank.granted = OPERAND_CLIENT + int(n);
        granted |= 1u << n;
        ++glb_reads_;
    }
}

// Reads of filters: rows, then parameters.
void Machine::grant_filters() {
    Drain &drain = compute_.drain;
    drain.params_arrive = drain.params_granted = false;
    for (unsigned n = 0; n < config_.filter_ports; ++n) {
        drain.params_arrive |= filter_banks_[n].arriving() == PARAMETERS_CLIENT;
        const uint32_t rows = compute_.core.filter_requests[n];
        if (!rows) continue;
        filter_banks_[n].granted = __builtin_ctz(rows);
        ++glb_reads_;
    }
    if (!drain.fetch.request()) return;
    BankReads &bank = filter_banks_[drain.fetch.address() & (config_.filter_ports - 1)];
    if (bank.granted != NOBODY) return;
    bank.granted = PARAMETERS_CLIENT;
    drain.params_granted = true;
    ++glb_reads_;
}

// Writes of fmaps: PPU lanes, vector unit, LOAD. Filters have LOAD alone.
void Machine::grant_writes() {
    Drain &drain = compute_.drain;
    fmap_writes_.clear();
    glb_writes_ = 0;
    drain.writes_granted = 0;
    for (unsigned n = 0; n < config_.lanes; ++n) {
        const OfmapAssembler &lane = drain.writer.assemblers[n];
        if (!lane.request || !fmap_writes_.ready(lane.address)) continue;
        fmap_writes_.take(lane.address);
        drain.writes_granted |= 1u << n;
        ++glb_writes_;
    }
    vector_write_ = vector_.write_valid() && fmap_writes_.ready(vector_.write_address());
    if (vector_write_) fmap_writes_.take(vector_.write_address());
    load_granted_ = load_.to_filters() || fmap_writes_.ready(load_.write_address());
}

}  // namespace eyas::timing
