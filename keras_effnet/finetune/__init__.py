"""Fine-tuning: a trained network learns to tell the images of a user apart."""
