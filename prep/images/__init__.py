"""One image: bytes in, a resized image or the reason for its rejection out."""
