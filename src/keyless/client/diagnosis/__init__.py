"""Look at everything a keyless token depends on, and say what to change where something is wrong.

One file per question: the configuration, the CI platform, the id token, its claims, the clock, the way to the service,
the exchange. `diagnose` asks them in the order a token goes. Standard library only; loaded by `keyless doctor` alone.
"""
