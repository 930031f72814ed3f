# Stand-ins for Vivado's commands: each knows its options and fails on any other, on a file that is
# not there, and on an object that nothing has made. After UG835 and UG1118 (2024.2).
#
# A line of the file netlist names a port, net or cell of what Yosys has elaborated.
# Options: a name ending in * takes a value. "files" means that the operands are files to read.

namespace eval ipx {}
set known {}
set seen {}
set objects [dict create]

proc declare {name options {operands 0 } {kind plain}} {
  set flags {}
  foreach option $options {
    if {[string match {*\*} $option]} {
      lappend flags [string trimright $option *] 1
    } else {
      lappend flags $option 0
    }
  }
  lappend ::known $name
  proc $name args [format {stand_in %s {%s} {%s} %s $args} $name $flags $operands $kind]
}

proc stand_in {name flags operands kind arguments} {
  set left {}
  set values [dict create]
  for {set i 0} {$i < [llength $arguments]} {incr i} {
    set word [lindex $arguments $i]
    if {[regexp {^-[a-z]} $word]} {
      if {![dict exists $flags $word]} { error "$name has no option $word" }
      if {[dict get $flags $word]} {
        incr i
        if {$i >= [llength $arguments]} { error "$name $word needs a value" }
        dict set values $word [lindex $arguments $i]
      } else {
        dict set values $word 1
      }
    } else {
      lappend left $word
    }
  }
  lassign $operands least most
  if {$most eq ""} { set most $least }
  if {[llength $left] < $least || [llength $left] > $most} {
    error "$name takes $operands operands, not [llength $left]: $left"
  }
  lappend ::seen $name
  if {$kind eq "files"} {
    foreach group $left { foreach file $group {
      if {![file exists $file]} { error "$name: no file $file" }
    } }
  }
  return [after_$kind $name $values $left]
}

proc after_plain {name values left} { return "" }
proc after_files {name values left} { return $left }
proc after_made {name values left} {
  set object [lindex $left end]
  dict set ::objects $object 1
  return $object
}
proc after_get {name values left} {
  set object [lindex $left 0]
  foreach one $object {
    if {$name in {get_bd_cells} && ![dict exists $::objects $one]} { error "$name: no $one" }
  }
  return $object
}
proc after_current {name values left} {
  if {!("create_project" in $::seen)} { error "$name: no project is open" }
  return $name
}
proc after_bus {name values left} {
  set ports [read [set f [open intarsia.v]]]; close $f
  set bus [dict get $values -busif]
  if {![string match "*${bus}_*valid*" $ports]} { error "$name: no bus $bus" }
  if {![string match "*input [dict get $values -clock]*" $ports]} { error "$name: no such clock" }
}
proc after_object {name values left} {
  set kind [string range [lindex [split $name _] 1] 0 end-1]
  foreach object [lindex $left 0] {
    if {![dict exists $::netlist $kind $object]} { error "no $kind $object" }
  }
  return [lindex $left 0]
}
proc after_progress {name values left} {
  if {[lindex $left 0] eq "PROGRESS"} { return "100%" }
  return ""
}
proc after_xdc {name values left} {
  foreach file [lindex $left 0] {
    if {![file exists $file]} { error "$name: no file $file" }
    source $file
  }
}
proc after_wrote {name values left} {
  if {[lindex $left end] eq ""} { error "$name needs a file" }
}
proc after_synth {name values left} {
  if {!("read_verilog" in $::seen || "add_files" in $::seen)} { error "$name: nothing was read" }
  if {![dict exists $values -top]} { error "$name without -top" }
  if {![dict exists $values -part] && !("create_project" in $::seen)} { error "$name without -part" }
}
proc after_property {name values left} {
  if {[dict exists $values -dict]} {
    if {[llength [dict get $values -dict]] % 2} { error "$name -dict: odd" }
  } elseif {[llength $left] != 3} {
    error "$name takes a name, a value and objects"
  }
}

declare read_verilog {-library* -sv -quiet -verbose} 1 files
declare read_xdc {-cells* -ref* -quiet_diff -mode* -unmanaged -no_add -quiet -verbose} 1 xdc
declare synth_design {-name* -part* -constrset* -top* -include_dirs* -generic* -verilog_define*
  -flatten_hierarchy* -gated_clock_conversion* -directive* -rtl -bufg* -no_lc -fsm_extraction*
  -mode* -keep_equivalent_registers -resource_sharing* -shreg_min_size* -retiming -quiet} 0 synth
declare opt_design {-directive* -retarget -propconst -sweep -quiet -verbose} 0
declare place_design {-directive* -no_timing_driven -timing_summary -unplace -post_place_opt} 0
declare phys_opt_design {-directive* -fanout_opt -placement_opt -retime -quiet} 0
declare route_design {-directive* -unroute -nets* -preserve -tns_cleanup -quiet} 0
declare report_utilization {-file* -append -hierarchical -hierarchical_depth* -cells* -quiet} 0
declare report_timing_summary {-check_timing_verbose -delay_type* -no_detailed_paths -no_header -datasheet -setup -hold
  -max_paths* -nworst* -unique_pins -path_type* -file* -append -name* -warn_on_violation} 0
declare report_drc {-name* -upgrade_cw -checks* -ruledecks* -file* -append -quiet} 0
declare report_io {-name* -file* -append -format* -quiet} 0
declare report_control_sets {-file* -append -verbose -cells* -sort_by* -hierarchical -quiet} 0
declare report_clock_utilization {-file* -append -write_xdc* -clock_roots_only -name* -quiet} 0
declare report_route_status {-return_nets* -of_objects* -file* -append -show_all -has_routing -quiet} 0
declare report_methodology {-name* -cells* -checks* -file* -append -return_string -quiet} 0
declare report_power {-no_propagation -hier* -file* -name* -format* -append -quiet} 0
declare write_cfgmem {-force -format* -size* -interface* -checksum* -disablebitswap -loadbit*
  -loaddata* -file* -quiet} 0
declare write_checkpoint {-force -cell* -logic_function_stripped -quiet -verbose} 1 wrote
declare write_bitstream {-force -verbose -raw_bitfile -mask_file -bin_file -reference_bitfile*} 1 wrote
declare create_project {-name* -part* -force -in_memory -ip -rtl_kernel -quiet} {0 2}
declare close_project {-delete -quiet} 0
declare current_project {-quiet} {0 1} current
declare current_fileset {-constrset -simset -srcset -quiet} {0 1} current
declare add_files {-fileset* -norecurse -copy_to* -force -scan_for_includes -quiet} 1 files
declare update_compile_order {-force_gui -fileset* -quiet} 0
declare set_property {-dict* -quiet -verbose} {1 3} property
declare create_bd_design {-dir* -cell* -quiet} 1
declare create_bd_cell {-vlnv* -type* -reference* -revision* -quiet} 1 made
declare get_bd_cells {-regexp -hierarchical -filter* -of_objects* -quiet} 1 get
declare get_bd_intf_pins {-regexp -hierarchical -filter* -of_objects* -quiet} 1 get
declare apply_bd_automation {-rule* -config* -dict* -opts* -quiet} 1
declare assign_bd_address {-target_address_space* -boundary -master_boundary -external -dict*
  -import_from_file* -offset* -range* -force -quiet} {0 1}
declare validate_bd_design {-force -design* -include_pfm -quiet} 0
declare save_bd_design {-force -quiet} {0 1}
declare make_wrapper {-top -testbench -inst_template -fileset* -import -force -files* -quiet} {0 1}
declare get_files {-regexp -filter* -compile_order* -used_in* -of_objects* -all -quiet} 1 get
declare launch_runs {-jobs* -scripts_only -all_placement -dir* -to_step* -next_step -host* -force
  -pre_launch_script* -quiet} 1
declare wait_on_run {-timeout* -quiet} 1
declare get_runs {-regexp -filter* -quiet} {0 1} get
declare get_property {-min -max -quiet} 2 progress
declare open_run {-name* -pr_config* -quiet} 1
declare write_hw_platform {-fixed -force -include_bit -include_sim_content -minimal -hw -quiet} {0 1} wrote
declare package_xo {-xo_path* -force -kernel_name* -kernel_xml* -design_xml* -ip_directory*
  -parent_ip_directory* -kernel_files* -kernel_xml_args* -kernel_json* -output_kernel_xml*
  -ctrl_protocol* -quiet} 0
declare ipx::package_project {-root_dir* -vendor* -library* -taxonomy* -module* -import_files
  -set_current* -force -force_update_compile_order -quiet} {0 1}
declare ipx::current_core {-quiet} {0 1} current
declare ipx::associate_bus_interfaces {-busif* -clock* -reset* -clear -remove -quiet} 1 bus
declare ipx::create_xgui_files {-logo_file* -quiet} {0 1}
declare ipx::update_checksums {-quiet} {0 1}
declare ipx::check_integrity {-quiet -verbose -xrt -kernel} {0 1}
declare ipx::save_core {-quiet} {0 1}
declare create_clock {-period* -name* -waveform* -add -quiet} {0 1}
declare set_input_delay {-clock* -reference_pin* -clock_fall -rise -fall -max -min -add_delay
  -network_latency_included -source_latency_included -quiet} 2
declare set_output_delay {-clock* -reference_pin* -clock_fall -rise -fall -max -min -add_delay
  -network_latency_included -source_latency_included -quiet} 2
declare set_max_delay {-rise -fall -datapath_only -from* -to* -through* -quiet} 1
declare all_clocks {-quiet} 0
declare all_fanin {-startpoints_only -flat -only_cells -levels* -pin_levels* -quiet} 1
declare get_ports {-regexp -nocase -filter* -of_objects* -quiet} {0 1} object
declare get_nets {-regexp -nocase -hierarchical -filter* -of_objects* -segments -quiet} {0 1} object
declare get_cells {-regexp -nocase -hierarchical -hier -filter* -of_objects* -quiet} {0 1} object
declare get_pins {-regexp -nocase -hierarchical -filter* -of_objects* -of* -leaf -quiet} {0 1}
declare get_clocks {-regexp -nocase -filter* -of_objects* -quiet} {0 1}
declare get_iobanks {-regexp -nocase -filter* -of_objects* -quiet} {0 1}
declare current_design {-quiet} {0 1}
declare auto_detect_xpm {-search_ip -quiet} 0
declare set_false_path {-setup -hold -rise -fall -reset_path -from* -to* -through* -quiet} 0

proc quit {} { puts "used: [lsort -unique $::seen]"; exit 0 }

set netlist [dict create]
foreach line [split [read [open netlist]] "\n"] {
  if {[llength $line]} { dict set netlist [lindex $line 0] [lindex $line 1] 1 }
}
source [lindex $argv 0]
quit
