"""The one exception for a fault that a user can mend: what went wrong, what to do, and the exit status it ends in."""


class LabError(Exception):
    """`message` says what was wrong and where, `remedy` what to do; `code` is the exit status of the command.

    Codes: 1 it failed, 2 usage or configuration, 105 interrupted, 106 port taken, 122 the environment is not ready.
    """

    def __init__(self, message: str, remedy: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code

    @property
    def told(self) -> str:
        """Message and remedy as a person reads them."""
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message
