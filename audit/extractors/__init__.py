"""Feature networks: one file each."""
