"""Job feeds.

``Job`` is the public class.  It delegates to one collaborator for each task: claims, finishes and
results, reading, changes without a claim, and deadlines.
"""

__all__: list[str] = []
