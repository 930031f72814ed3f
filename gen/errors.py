"""The one exception that users see as a line of text."""

__all__ = ["UserError"]


class UserError(Exception):
    """Input that cannot be served: names the node or argument, what is wrong, and what would work.

    The command line prints it as one line and exits with status 2.
    """
