"""The story of `make demo`: three nodes, payment services that come and go, an order service that needs them.

director   starts and kills the others, and tells what happens
payments   one instance of the payment service, a program of its own
orders     the order service, a program of its own, which finds payments through the cluster
speech     how they report to the director
"""
