"""Statistics that several metrics share: pure functions on arrays, no cohort, no disk."""
