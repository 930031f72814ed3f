# one as packaged IP in the folder ip: vivado -mode batch -source ip.tcl
create_project -force package package -part xc7a100tcsg324-1
add_files -norecurse {design.v intarsia.v}
set_property top intarsia [current_fileset]
update_compile_order -fileset sources_1
ipx::package_project -root_dir ip -vendor intarsia.org -library accelerators -taxonomy /UserIP -import_files -set_current true -force
set_property name intarsia [ipx::current_core]
set_property version 1.0 [ipx::current_core]
set_property display_name {Intarsia: one} [ipx::current_core]
ipx::associate_bus_interfaces -busif s_axil -clock aclk [ipx::current_core]
ipx::associate_bus_interfaces -busif m_axi0 -clock aclk [ipx::current_core]
ipx::create_xgui_files [ipx::current_core]
ipx::update_checksums [ipx::current_core]
ipx::check_integrity [ipx::current_core]
ipx::save_core [ipx::current_core]
close_project
