"""Deployed: a recorded network becomes the one that a device runs, with normalization folded and branches merged."""
