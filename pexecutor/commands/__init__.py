"""Commands other than ``serve``, each group in a module of its own; ``cli.py`` puts them together."""
