"""Adapters: translate a dialect's requests to calls of the services, and their results to the dialect's shapes."""
