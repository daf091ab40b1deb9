"""From a photo to a 3D face: `methods` chooses between `landmark_fit` and `reconstruct` (DECA and FLAME)."""
