"""Models of the feed types, played against the real thing; and the invariants of feeds."""
