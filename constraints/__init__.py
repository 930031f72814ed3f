"""The silicon: boards and parts. A name of a pin, a part or a vendor's tool lives here."""
