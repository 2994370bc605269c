"""Runs the handlers of a worker: by name, in threads, with time limits."""
