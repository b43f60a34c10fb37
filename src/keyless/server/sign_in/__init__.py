"""Signing in at an identity provider by OpenID Connect: where it is, what is asked of it, and what is believed.

Nothing of a token is believed that has not passed the same checks as a job's (`keyless.oidc`), and nothing is fetched
but through the guarded fetcher. Authlib speaks OAuth; it sees no signature.
"""
