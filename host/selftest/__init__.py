"""Self-test of a gateware device: what ``equipoise selftest`` checks, and how it names what is wrong."""
