# {{ name }} beside the processor of {{ title }}: vivado -mode batch -source zynq.tcl
create_project -force intarsia project -part {{ part }}
{% if board_part %}
set_property board_part {{ board_part }} [current_project]
{% endif %}
add_files -norecurse {design.v intarsia.v}
update_compile_order -fileset sources_1
create_bd_design system
create_bd_cell -type ip -vlnv {{ ps.vlnv }} ps
apply_bd_automation -rule {{ ps.rule }} -config { {{ ps.preset }} } [get_bd_cells ps]
set_property -dict { {% for key, value in ps.settings %}CONFIG.{{ key }} {{ "{" }}{{ value }}{{ "}" }} {% endfor %}} [get_bd_cells ps]
create_bd_cell -type module -reference intarsia accelerator_0
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config { Clk_master {Auto} Clk_slave {Auto} Clk_xbar {Auto} Master {/ps/{{ ps.master }}} Slave {/accelerator_0/s_axil} ddr_seg {Auto} intc_ip {New AXI SmartConnect} master_apm {0} } [get_bd_intf_pins accelerator_0/s_axil]
{% for bus, slave in memories %}
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config { Clk_master {Auto} Clk_slave {Auto} Clk_xbar {Auto} Master {/accelerator_0/{{ bus }}} Slave {/ps/{{ slave }}} ddr_seg {Auto} intc_ip {New AXI SmartConnect} master_apm {0} } [get_bd_intf_pins ps/{{ slave }}]
{% endfor %}
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
