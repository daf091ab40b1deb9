"""What an artist sets: when a person acts, in which layers, where in the picture, and how much each token counts."""
