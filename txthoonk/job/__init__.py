"""Job feeds: the verbs, the claims, the results."""

__all__: list[str] = []
