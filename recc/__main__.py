"""``python -m recc`` is the command line ``recc``."""

from recc.cli import main

if __name__ == "__main__":
    main()
