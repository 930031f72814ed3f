// The accelerator, its memory channels and their one memory. Rendered by sim/testbench.py.
module testbench (
    input logic clk,
    input logic rst,
    input logic [31:0] seed,
    output logic [63:0] cycle,
    output logic [63:0] read_beats[{{ channels }}],
    output logic [63:0] write_beats[{{ channels }}],
    input logic [15:0] s_axil_awaddr,
    input logic s_axil_awvalid,
    output logic s_axil_awready,
    input logic [31:0] s_axil_wdata,
    input logic [3:0] s_axil_wstrb,
    input logic s_axil_wvalid,
    output logic s_axil_wready,
    output logic [1:0] s_axil_bresp,
    output logic s_axil_bvalid,
    input logic s_axil_bready,
    input logic [15:0] s_axil_araddr,
    input logic s_axil_arvalid,
    output logic s_axil_arready,
    output logic [31:0] s_axil_rdata,
    output logic [1:0] s_axil_rresp,
    output logic s_axil_rvalid,
    input logic s_axil_rready
);
  localparam longint MEMORY_BYTES = 64'd{{ memory_bytes }};
  localparam int INDEX_BITS = {{ index_bits }};

  /* verilator tracing_off */
  logic [{{ 8 * data_bytes - 1 }}:0] memory[{{ memory_bytes // data_bytes }}]
      /* verilator public_flat_rw */;
  /* verilator tracing_on */

  always_ff @(posedge clk) cycle <= cycle + 1;
{% for n in range(channels) %}
{% for direction, width, signal in axi %}
  logic [{{ width - 1 }}:0] axi{{ n }}_{{ signal }};
{% endfor %}
  logic [INDEX_BITS-1:0] read_index_{{ n }}, write_index_{{ n }};
  logic write_enable_{{ n }};
  logic [{{ 8 * data_bytes - 1 }}:0] write_data_{{ n }};
  logic [{{ data_bytes - 1 }}:0] write_strobe_{{ n }};

  axi_memory #(
      .DATA_BYTES({{ data_bytes }}),
      .MEMORY_BYTES(MEMORY_BYTES),
      .LATENCY({{ latency }}),
      .OUTSTANDING({{ outstanding }}),
      .CHANNEL({{ n }})
  ) channel_{{ n }} (
      .clk,
      .rst,
      .seed,
{% for direction, width, signal in axi %}
      .s_axi_{{ signal }}(axi{{ n }}_{{ signal }}),
{% endfor %}
      .read_index(read_index_{{ n }}),
      .read_data(memory[read_index_{{ n }}]),
      .write_enable(write_enable_{{ n }}),
      .write_index(write_index_{{ n }}),
      .write_data(write_data_{{ n }}),
      .write_strobe(write_strobe_{{ n }}),
      .read_beats(read_beats[{{ n }}]),
      .write_beats(write_beats[{{ n }}])
  );
{% endfor %}

  // On the falling edge, so that blocking writes of single bytes meet no reader.
  /* verilator lint_off BLKSEQ */
  always @(negedge clk) begin
{% for n in range(channels) %}
    if (write_enable_{{ n }}) begin
      if (&write_strobe_{{ n }}) memory[write_index_{{ n }}] = write_data_{{ n }};
      else
        for (int i = 0; i < {{ data_bytes }}; i++)
          if (write_strobe_{{ n }}[i])
            memory[write_index_{{ n }}][8*i+:8] = write_data_{{ n }}[8*i+:8];
    end
{% endfor %}
  end
  /* verilator lint_on BLKSEQ */
{% if throttles %}

  // Each 32 holds come from a generator of their own, so that any two streams stall independently.
  logic [{{ throttle_words }}-1:0][31:0] noise;
  logic [31:0] noise_seed;
  logic [{{ 32 * throttle_words - 1 }}:0] holds;
  assign holds = seed != 0 ? noise : '0;

  function automatic logic [31:0] xorshift(input logic [31:0] state);
    logic [31:0] a, b;
    a = state ^ (state << 13);
    b = a ^ (a >> 17);
    return b ^ (b << 5);
  endfunction

  always_ff @(posedge clk) begin
    noise_seed <= seed;
    for (int i = 0; i < {{ throttle_words }}; i++)
      noise[i] <= rst || seed != noise_seed
          ? ((seed ^ 32'(i) * 32'h85EBCA6B) * 32'h9E3779B9) | 32'd1 : xorshift(noise[i]);
  end
{% if throttles % 32 %}
  wire unused = &holds[{{ 32 * throttle_words - 1 }}:{{ throttles }}];
{% endif %}
{% endif %}

  accelerator dut (
{% if throttles %}
      .throttle(holds[{{ throttles - 1 }}:0]),
{% endif %}
{% for n in range(channels) %}
{% for direction, width, signal in axi %}
      .m_axi{{ n }}_{{ signal }}(axi{{ n }}_{{ signal }}),
{% endfor %}
{% endfor %}
      .*
  );
{% if stores %}

  int stores_file = 0;
  string stores_name;
  initial if ($value$plusargs("stores=%s", stores_name)) stores_file = $fopen(stores_name, "w");
  always_ff @(posedge clk)
    if (stores_file != 0 && dut.store_valid)
      $fwrite(stores_file, "%0h %0h %0h %0h %0h\n", cycle, dut.store_buffer, dut.store_address,
              dut.store_count, dut.store_data);
{% endif %}
{% if events %}

  int events_file = 0;
  string events_name;
  initial if ($value$plusargs("events=%s", events_name)) events_file = $fopen(events_name, "w");
  always_ff @(posedge clk)
    if (events_file != 0 && {{ '{' }}{% for e in events %}dut.{{ e }}{{ ", " if not loop.last }}{% endfor %}{{ '}' }} != 0) begin
      $fwrite(events_file, "%0h", cycle);
{% for event in events %}
      $fwrite(events_file, " %0h", dut.{{ event }});
{% endfor %}
      $fwrite(events_file, "\n");
    end
{% endif %}
endmodule
