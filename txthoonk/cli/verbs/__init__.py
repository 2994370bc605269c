"""The commands on feeds, sorted feeds and jobs, and ``watch``."""
