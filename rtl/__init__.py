"""The hardware vocabulary, in Amaranth: integers and streams; no model, no board, no file."""
