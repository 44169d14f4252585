"""Tools that make the sample catalogue. They are not installed."""
