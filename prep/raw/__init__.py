"""Raw dumps of any layout: the images they hold, where each one is, and its bytes."""
