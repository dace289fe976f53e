"""Do the volumes look real?"""
