"""The substrate as digital hardware: bilinear neurons, rank-channel lanes, sequencer, link (Amaranth)."""
