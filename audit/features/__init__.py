"""Feature vectors that several extractors or metrics share and that need no network."""
