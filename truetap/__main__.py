"""`python -m truetap`: the command line where its script isn't on the path."""

from truetap.cli import main

if __name__ == "__main__":
    main(prog_name="truetap")
