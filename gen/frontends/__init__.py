"""Model files to Graph: one module per file format."""
