"""The client of the HTTP API. The command line is built on it."""
