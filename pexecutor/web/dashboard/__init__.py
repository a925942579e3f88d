"""The dashboard: its static files, and the routes that send them."""
