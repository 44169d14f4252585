"""The vocabulary of the project, and everything that reads data from outside: feeds, archives, pictures, the web."""
