"""The exceptions that users see as a line of text."""

__all__ = ["ToolError", "UserError"]


class UserError(Exception):
    """Input that cannot be served: names the node or argument, what is wrong, and what would work.

    The command line prints it as one line and exits with status 2.
    """


class ToolError(Exception):
    """A tool that failed: names it, the decisive line of its log, and where the log is.

    The command line prints it as one line and exits with status 1.
    """
