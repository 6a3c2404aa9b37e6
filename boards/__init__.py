"""FPGA boards: tops, memory controllers, build and flash."""
