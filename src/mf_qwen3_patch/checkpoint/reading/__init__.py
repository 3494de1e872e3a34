"""Bytes from a disk: of files that are opened once, bounded, through the page cache or past it."""
