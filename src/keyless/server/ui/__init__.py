"""The web pages of the service, for the people who answer for it: server-rendered, complete without JavaScript.

`visit` says who looks and what was asked, `pages` hold one subject each, `render` makes HTML of it.
"""
