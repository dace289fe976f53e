"""Does a model trained on the synthetic cohort work on real patients?"""
