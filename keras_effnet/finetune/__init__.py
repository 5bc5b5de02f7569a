"""Fine-tuning: a trained network learns to classify other images."""
