"""What a run leaves: scores, pictures of what the network saw, and a page to read."""
