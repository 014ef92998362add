"""Link of the gateware: framing, command processor, UART."""
