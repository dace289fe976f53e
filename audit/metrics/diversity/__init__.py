"""Is the variety of the real cohort covered?"""
