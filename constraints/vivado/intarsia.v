// {{ name }} with the names and polarities that Vivado's block designs and kernels expect.
module intarsia(
  (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 {{ clock_port }} CLK" *)
  (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF {{ buses | join(':') }}, ASSOCIATED_RESET {{ reset_port }}" *)
  input {{ clock_port }},
  (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 {{ reset_port }} RST" *)
  (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
  input {{ reset_port }}{% for port in ports %},
  {{ port.direction }} {% if port.width > 1 %}[{{ port.width - 1 }}:0] {% endif %}{{ port.outer }}{% endfor %}

);
  reg rst = 1'b1;
  always @(posedge {{ clock_port }}) rst <= ~{{ reset_port }};
{% for port in ports if port.constant is not none %}
  assign {{ port.outer }} = {{ port.constant }};
{% endfor %}
{% for bus, signal, width in wide %}
  wire [{{ width - 1 }}:0] {{ bus }}_{{ signal }}_low;
  assign {{ bus }}_{{ signal }} = { {{ 64 - width }}'d0, {{ bus }}_{{ signal }}_low};
{% endfor %}
  accelerator accelerator(
    .clk({{ clock_port }}),
    .rst(rst){% for port in ports if port.inner %},
    .{{ port.inner }}({{ port.net }}){% endfor %}

  );
endmodule
