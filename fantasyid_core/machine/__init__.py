"""The machine: which networks are in its memory, how much of it is free, and which plan fits."""
