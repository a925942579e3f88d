"""The dashboard: its static files, and the answers that send them."""
