"""The vocabulary, and everything that comes in from outside."""
