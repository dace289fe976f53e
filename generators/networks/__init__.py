"""Networks that MONAI lacks."""
