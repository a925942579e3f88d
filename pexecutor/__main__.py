"""``python -m pexecutor``."""

from .cli import main

main()
