// The memory model with its own array, and the IDs that cocotbext-axi insists on.
module axi_bench (
    input logic clk,
    input logic rst,
    input logic [31:0] seed,
    input logic [0:0] s_axi_arid,
    input logic [31:0] s_axi_araddr,
    input logic [7:0] s_axi_arlen,
    input logic [2:0] s_axi_arsize,
    input logic [1:0] s_axi_arburst,
    input logic s_axi_arvalid,
    output logic s_axi_arready,
    output logic [0:0] s_axi_rid,
    output logic [31:0] s_axi_rdata,
    output logic [1:0] s_axi_rresp,
    output logic s_axi_rlast,
    output logic s_axi_rvalid,
    input logic s_axi_rready,
    input logic [0:0] s_axi_awid,
    input logic [31:0] s_axi_awaddr,
    input logic [7:0] s_axi_awlen,
    input logic [2:0] s_axi_awsize,
    input logic [1:0] s_axi_awburst,
    input logic s_axi_awvalid,
    output logic s_axi_awready,
    input logic [31:0] s_axi_wdata,
    input logic [3:0] s_axi_wstrb,
    input logic s_axi_wlast,
    input logic s_axi_wvalid,
    output logic s_axi_wready,
    output logic [0:0] s_axi_bid,
    output logic [1:0] s_axi_bresp,
    output logic s_axi_bvalid,
    input logic s_axi_bready,
    output logic [63:0] read_beats,
    output logic [63:0] write_beats
);
  logic [31:0] memory[16384];
  logic [13:0] read_index, write_index;
  logic write_enable;
  logic [31:0] write_data;
  logic [3:0] write_strobe;

  assign s_axi_rid = '0;
  assign s_axi_bid = '0;
  wire unused = &{s_axi_arid, s_axi_awid};

  axi_memory #(
      .DATA_BYTES(4),
      .MEMORY_BYTES(65536)
  ) channel (
      .read_data(memory[read_index]),
      .*
  );

  /* verilator lint_off BLKSEQ */
  always @(negedge clk)
    if (write_enable)
      for (int i = 0; i < 4; i++)
        if (write_strobe[i]) memory[write_index][8*i+:8] = write_data[8*i+:8];
  /* verilator lint_on BLKSEQ */
endmodule
