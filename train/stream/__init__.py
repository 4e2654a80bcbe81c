"""The loader: a plan of samples becomes batches on the device."""
