"""The rules of a practice, for those who set them."""
