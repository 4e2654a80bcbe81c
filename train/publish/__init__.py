"""A trained model for others: a folder that timm and ONNX runtimes load, its model card, and the way to the hub."""
