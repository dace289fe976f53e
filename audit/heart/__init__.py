"""The heart in a cine: volumes over the cycle, wall, derived table, rules of plausibility."""
