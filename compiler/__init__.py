"""The compiler: front ends, IR, passes, mapper, performance model, program writer."""
