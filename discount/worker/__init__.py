"""The worker: plans deliveries from events and makes them.

Any number of workers may run, and each can be killed at any moment.
"""
