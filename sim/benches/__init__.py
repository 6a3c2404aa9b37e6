"""Agents for cocotb benches."""
