"""Do they obey the mask they were asked for?"""
