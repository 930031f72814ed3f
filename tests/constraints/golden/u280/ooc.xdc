create_clock -name clk -period 3.333 [get_ports {clk}]
