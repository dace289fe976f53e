"""Searching for copies of training patients: candidates, confirmation, planted copies, filter."""
