"""The value that stands for a job finished without a result."""

__all__ = ["NO_RESULT"]


class _NoResult:
    def __repr__(self) -> str:
        return "NO_RESULT"


#: The result of a job that is finished without one.
NO_RESULT = _NoResult()
