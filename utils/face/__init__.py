"""Faces: their 68 landmarks, alignment, detection, the PCA basis, and the way back into a photo."""
