"""The worker: turns events into deliveries, and makes them. Any number may run; each can be killed at any moment."""
