create_clock -name clk -period 3.333 [get_ports clk]
# Half of a cycle is left to what lies around the accelerator.
set_input_delay 0.833 -clock clk [get_ports -filter {DIRECTION == IN && NAME != clk}]
set_output_delay 0.833 -clock clk [get_ports -filter {DIRECTION == OUT}]
