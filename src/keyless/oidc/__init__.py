"""OpenID Connect as a relying party needs it: whose keys, which keys, and is this token theirs.

`id_token` is pure; `discovery` and `jwks_cache` fetch through `keyless.http.guarded` only.
"""
