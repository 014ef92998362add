"""The shared vocabulary: networks, parameters, number formats, phases, the Substrate interface, errors."""
