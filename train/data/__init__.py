"""Training data in any form, and which rank reads which sample when."""
