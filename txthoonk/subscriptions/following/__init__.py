"""Following one feed: which events to deliver, and what to read when some are missing."""
