"""From a photo to a 3D face: `camera`, `deca`, `flame`, `landmarks`, and `reconstruct`, which joins them."""
