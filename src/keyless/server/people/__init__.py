"""People who manage trust, and machines that may look (D13): who they are, what they may do, how they prove it.

Pure values and rules; the rows are in `keyless.server.store.admin`.
"""
