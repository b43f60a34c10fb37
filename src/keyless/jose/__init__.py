"""JSON Object Signing, read strictly: RFC 7515, 7517, 7518, 7638, 8037 and the advice of RFC 8725.

Bytes in, values out. Pure: no clock, no network, no environment. Needs `cryptography` (extra `verifier`).
"""
