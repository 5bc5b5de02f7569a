"""What a run leaves: scores, images of what the network saw, and a page to read."""
