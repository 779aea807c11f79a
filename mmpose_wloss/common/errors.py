"""What a user can mend: the command line prints it without a traceback."""


class UserError(ValueError):
    """Input that does not fit; the message names it and says what to do."""


class MissingFile(UserError, FileNotFoundError):
    """A file that the user named is not there."""

    # OSError would hide a message that has one argument
    __str__ = ValueError.__str__
