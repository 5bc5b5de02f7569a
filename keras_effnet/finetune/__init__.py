"""Fine-tuning: a trained network learns to tell the pictures of a user apart."""
