create_clock -name clk -period 10.000 [get_ports clk]
# Half of a cycle is left to what lies around the accelerator.
set_input_delay 2.500 -clock clk [get_ports -filter {DIRECTION == IN && NAME != clk}]
set_output_delay 2.500 -clock clk [get_ports -filter {DIRECTION == OUT}]
