"""`python -m unpooled` is the command line."""

from unpooled.cli import main

if __name__ == "__main__":
    main()
