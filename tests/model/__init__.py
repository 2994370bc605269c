"""Tests that compare each feed type with a model, and tests of the invariants of feeds."""
