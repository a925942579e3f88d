"""``python -m pexecutor``."""

from .cli.main import main

main()
