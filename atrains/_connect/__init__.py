"""Automatic connection: what a program does with other libraries is recorded with its task, and each of these can be undone.

One file or two for each library. They know of tasks no more than the protocol of `_api.recorder`.
"""
