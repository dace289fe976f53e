"""Are training patients reproduced?"""
