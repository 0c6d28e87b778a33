"""The console: pages on which brands' people see and do everything in a browser.

A page calls the operations of the API as the person who is signed in, so it owns no rule and has no other rights.
"""
