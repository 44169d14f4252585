"""The sample catalogue, and photographs made from its pictures."""
