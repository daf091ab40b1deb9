"""Tools beside making videos: convert, inspect, diagnose, download, bench, demo, and a random small model."""
