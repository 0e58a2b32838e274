"""`python -m anycore`: the command line."""

from anycore.cli import main

if __name__ == "__main__":
    main(prog_name="anycore")
