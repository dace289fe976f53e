"""Drawings that several questions share, by what they show."""
