"""The worker: deliveries are planned from events and made.

Any number of workers may run, and each can be killed at any moment.
"""
