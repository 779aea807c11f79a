"""What the command line calls, one file a verb.

Each has ``main(arguments=None) -> int``, which parses a list of arguments, by default
those of the command line, and returns 0. What a user can mend raises a ``UserError``.
It imports MMPose, which takes seconds, only when the arguments are known to fit.
"""
