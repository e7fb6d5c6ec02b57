"""`python -m lazaret.lab`: the lab without the rest of Lazaret."""

from lazaret.lab.cli import lab_app

lab_app()
