"""Results of jobs: callers that wait for them, and kept results that exceed their number."""
