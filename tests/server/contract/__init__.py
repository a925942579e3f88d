"""What the server and the generator of requests are given for ``test_contract.py``."""
