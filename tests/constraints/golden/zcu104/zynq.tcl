# one beside the processor of AMD ZCU104: vivado -mode batch -source zynq.tcl
create_project -force intarsia project -part xczu7ev-ffvc1156-2-e
set_property board_part xilinx.com:zcu104:part0:1.1 [current_project]
add_files -norecurse {design.v intarsia.v}
update_compile_order -fileset sources_1
create_bd_design system
create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config { apply_board_preset "1" } [get_bd_cells ps]
set_property -dict { CONFIG.PSU__USE__M_AXI_GP0 {1} CONFIG.PSU__USE__M_AXI_GP1 {0} CONFIG.PSU__USE__S_AXI_GP2 {1} CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ {250} } [get_bd_cells ps]
create_bd_cell -type module -reference intarsia accelerator_0
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config { Clk_master {Auto} Clk_slave {Auto} Clk_xbar {Auto} Master {/ps/M_AXI_HPM0_FPD} Slave {/accelerator_0/s_axil} ddr_seg {Auto} intc_ip {New AXI SmartConnect} master_apm {0} } [get_bd_intf_pins accelerator_0/s_axil]
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config { Clk_master {Auto} Clk_slave {Auto} Clk_xbar {Auto} Master {/accelerator_0/m_axi0} Slave {/ps/S_AXI_HP0_FPD} ddr_seg {Auto} intc_ip {New AXI SmartConnect} master_apm {0} } [get_bd_intf_pins ps/S_AXI_HP0_FPD]
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
