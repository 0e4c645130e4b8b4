"""``python -m analyzer_service.cli`` is ``mlp-analyzer``."""

from analyzer_service.cli import main

main()
