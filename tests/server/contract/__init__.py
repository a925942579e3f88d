"""The handlers of the server and the hooks of the request generator for ``test_contract.py``."""
