"""What unrolled layers are made of: matrices, adder graphs and their search, pipeline stages."""
