"""The dialects of package registries from the job's side, one file each.

Each knows what to ask the CI platform for, how an id token is exchanged there, and where the tools of its ecosystem
look for what comes back. No registry's address is built in: the user names it.
"""
