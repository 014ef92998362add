"""Analog boards: what one is told and tells, profiles, instruments, and the substrate made of them."""
