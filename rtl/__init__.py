"""The hardware vocabulary, in Amaranth. Knows integers and streams; knows no model, board or file."""
