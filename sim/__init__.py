"""The truth: golden semantics, benches, the Verilator runner, memory models, traces."""
