// The memory model alone, a cycle a call, for test_memory_model.py.
#include "memory_model.h"

using namespace eyas;

extern "C" {
MemoryModel *model_new(uint8_t *memory, uint64_t size, unsigned bus_bytes,
                       const MemorySettings *settings) {
    return new MemoryModel(memory, size, bus_bytes, *settings);
}
void model_delete(MemoryModel *model) { delete model; }
void model_step(MemoryModel *model, const Manager *in, Subordinate *out) {
    model->step(*in);
    *out = model->out;
}
const char *model_violation(const MemoryModel *model) { return model->violation.c_str(); }
uint64_t model_count(const MemoryModel *model, int which) {
    const uint64_t counts[] = {model->read_bytes, model->write_bytes, model->strobed_bytes,
                               model->errors, model->error_address};
    return counts[which];
}
}
