"""Tools that make and measure the figures of `compact`. They are not installed."""
