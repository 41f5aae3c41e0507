"""Decides whether what clients saw of an object can be explained by one order of their operations.

history   operations, as their clients saw them
models    what an object would answer if it were asked by one client at a time
search    the search for an order
checker   whole histories: key by key, with what is wrong in words
narrowing the smallest part of a history that shows what is wrong
"""
