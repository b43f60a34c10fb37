"""The CI platforms a job can run on: is this one of them, and how does it give an id token?

One file per platform. Nothing here is sent anywhere except to the platform's own id-token endpoint.
"""
