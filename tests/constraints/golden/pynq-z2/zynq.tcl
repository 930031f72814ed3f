# one beside the processor of TUL PYNQ-Z2: vivado -mode batch -source zynq.tcl
create_project -force intarsia project -part xc7z020clg400-1
set_property board_part tul.com.tw:pynq-z2:part0:1.0 [current_project]
add_files -norecurse {design.v intarsia.v}
update_compile_order -fileset sources_1
create_bd_design system
create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 -config { make_external "FIXED_IO, DDR" apply_board_preset "1" } [get_bd_cells ps]
set_property -dict { CONFIG.PCW_USE_M_AXI_GP0 {1} CONFIG.PCW_USE_S_AXI_HP0 {1} CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ {100} } [get_bd_cells ps]
create_bd_cell -type module -reference intarsia accelerator_0
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config { Clk_master {Auto} Clk_slave {Auto} Clk_xbar {Auto} Master {/ps/M_AXI_GP0} Slave {/accelerator_0/s_axil} ddr_seg {Auto} intc_ip {New AXI SmartConnect} master_apm {0} } [get_bd_intf_pins accelerator_0/s_axil]
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config { Clk_master {Auto} Clk_slave {Auto} Clk_xbar {Auto} Master {/accelerator_0/m_axi0} Slave {/ps/S_AXI_HP0} ddr_seg {Auto} intc_ip {New AXI SmartConnect} master_apm {0} } [get_bd_intf_pins ps/S_AXI_HP0]
assign_bd_address
validate_bd_design
save_bd_design
make_wrapper -top -import -files [get_files system.bd]
set_property top system_wrapper [current_fileset]
update_compile_order -fileset sources_1
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] != "100%"} {
  error "implementation failed; see project/intarsia.runs/impl_1/runme.log"
}
open_run impl_1
report_utilization -file utilization.rpt
report_timing_summary -max_paths 10 -file timing.rpt
write_hw_platform -fixed -include_bit -force design.xsa
