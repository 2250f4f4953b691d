"""Conversions to and from the objects and files of other libraries, each an optional package.

Imports models, archives and what stands before them. A module is named after the library that it
converts to and from, and imports it inside its functions.
"""
