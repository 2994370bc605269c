"""A claim on a job, from the claim to its end: finish, failure, release."""
