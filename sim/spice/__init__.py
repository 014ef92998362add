"""A board of analog neurons as a circuit in ngspice: its parts, its netlist, the simulator, and the board made of them."""
