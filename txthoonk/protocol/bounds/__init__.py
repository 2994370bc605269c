"""Bounds of one call: what the server takes, and how large replies are read in slices."""
