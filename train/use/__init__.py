"""Using a trained model: predictions."""
