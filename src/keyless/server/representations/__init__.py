"""What the service's records look like as JSON: in the API, with `--json`, and back again. Pure.

Times are Unix seconds. A member is never given another meaning; readers ignore members that they do not know.
"""
