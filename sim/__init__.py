"""Simulated substrates: golden model, float model, the gateware in Verilator under cocotb."""
