"""Label maps against the masks that were asked for: pairing, scores, surfaces, controls."""
