"""Channels for the gRPC calls of a program's own service, balanced over the instances of a view.

gRPC Python lets nobody resolve names for it, so each channel here keeps one real channel, a sub-channel, for every
instance, and hands each call to one that is connected. `subchannels` and `outcomes` hold what both faces share.
"""
