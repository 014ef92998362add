"""A board of analog neurons as a circuit in ngspice: its parts, its netlist, and the simulator it runs in."""
