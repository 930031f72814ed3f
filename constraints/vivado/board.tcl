# {{ name }} behind a UART on {{ title }}: vivado -mode batch -source board.tcl
read_verilog -sv {design.v top.v}
read_xdc {top.xdc}
synth_design -top top -part {{ part }}
opt_design
place_design
phys_opt_design
route_design
report_utilization -file utilization.rpt
report_timing_summary -max_paths 10 -file timing.rpt
report_drc -file drc.rpt
write_checkpoint -force top.dcp
write_bitstream -force design.bit
