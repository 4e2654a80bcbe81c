"""A pretrained model on other data: fine-tuning and linear probes."""
