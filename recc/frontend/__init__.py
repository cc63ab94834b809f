"""The front end: text or a Python function in, a syntax tree out, and its resolution to the IR."""
