"""``python -m core``: the same as the console script ``quadrat``."""

from .cli import main

if __name__ == "__main__":
    main()
