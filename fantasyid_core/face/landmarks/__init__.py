"""Faces and their 478 points."""
