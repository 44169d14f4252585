"""Text as shop systems and people write it: what it stands for, and which type its column has."""
