"""Measuring, fitting and applying the imperfections of analog boards."""
