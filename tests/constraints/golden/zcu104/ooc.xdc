create_clock -name clk -period 4.000 [get_ports {clk}]
