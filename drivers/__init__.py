"""Host side of each substrate: transports, framing, drivers, device addresses."""
