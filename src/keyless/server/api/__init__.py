"""The management API, `/api/v1` on the inside listener (D13, D19): HTTP in and out, one file for each kind of thing.

`openapi.json` is written by hand and is the contract; a test compares it with the routes, both ways. No cookie, no
CORS: who calls brings a login in `Authorization`.
"""
