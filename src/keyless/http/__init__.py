"""HTTP for a job that holds an id token: one request at a time, bounded in time and size, no redirects.

Standard library only.
"""
