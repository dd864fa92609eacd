"""The wire: everything between an operation and its HTTP request, without I/O."""
