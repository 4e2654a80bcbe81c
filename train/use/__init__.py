"""Using a trained model: predictions and exports."""
