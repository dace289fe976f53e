"""Does the synthetic heart beat like a real one?"""
