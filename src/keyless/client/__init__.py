"""The part that runs in the job: find the id token, exchange it, keep the answer while it is good.

Standard library only.
"""
