"""What did each phase cost?"""
