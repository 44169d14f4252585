"""The one way from bytes to a picture, and its bounds."""
