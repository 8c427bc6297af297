"""`python -m tinker_hl.cli`: the command line, where its script is not on the path."""

from tinker_hl.cli.entry import main

if __name__ == "__main__":
    main()
