# {{ name }} as a kernel for {{ title }}: vivado -mode batch -source kernel.tcl
source ip.tcl
package_xo -force -xo_path intarsia.xo -kernel_name intarsia -ip_directory ip -ctrl_protocol user_managed
