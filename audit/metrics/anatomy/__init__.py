"""Are the organs there and of the right size?"""
