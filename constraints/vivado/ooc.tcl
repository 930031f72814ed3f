# Area and timing of {{ name }} alone, out of context: vivado -mode batch -source ooc.tcl
read_verilog {design.v}
read_xdc -mode out_of_context {ooc.xdc}
synth_design -top accelerator -part {{ part }} -mode out_of_context
opt_design
place_design
phys_opt_design
route_design
report_utilization -file utilization.rpt
report_timing_summary -max_paths 10 -file timing.rpt
write_checkpoint -force accelerator.dcp
