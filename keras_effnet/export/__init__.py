"""Export: a trained model becomes a file that an engine runs on a device, checked against the model."""
