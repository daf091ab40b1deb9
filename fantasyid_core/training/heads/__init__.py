"""Procedural people: heads, faces, motions and their pictures, without any licensed data."""
