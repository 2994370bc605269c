"""Helpers for the integration tests of maintenance."""

from __future__ import annotations

NOTHING = {"dated": 0, "restored": 0, "dropped": 0}
NO_JOB = {**NOTHING, "cancelled": 0, "stalled": 0, "due": 0, "retracted": 0}
