"""``python -m srlm_data``: the same as the command ``srlm-data``."""

from srlm_data.cli import main

main()
