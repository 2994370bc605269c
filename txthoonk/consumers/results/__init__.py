"""The results of jobs.

Callers wait for results and for the end of jobs; what is not announced is looked up now and
then.  Kept results in excess of ``keep_results`` are deleted.
"""

__all__: list[str] = []
