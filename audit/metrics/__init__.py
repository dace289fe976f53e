"""Metrics: one file each; the folder is the question and the section of the report."""
