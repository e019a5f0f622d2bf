"""What the programs share, from the data to the pictures.

Nothing in here imports a program.
"""


class LabError(RuntimeError):
    """What a user can mend: the text says what is wrong and what to do."""
