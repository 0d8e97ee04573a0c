"""``python -m ferkit``."""

from ferkit.cli import main

if __name__ == "__main__":
    main()
