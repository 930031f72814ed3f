// A hand-written accelerator for the tests: copies BEATS beats from the input to the output region
// through channel 0 (or writes through channel 1), adding 1 to each byte. MODE makes it misbehave.
module accelerator #(
    parameter BYTES = 8
) (
    input clk,
    input rst,
`ifdef THROTTLE
    input [1:0] throttle,
`endif
    input [15:0] s_axil_awaddr,
    input s_axil_awvalid,
    output s_axil_awready,
    input [31:0] s_axil_wdata,
    input [3:0] s_axil_wstrb,
    input s_axil_wvalid,
    output s_axil_wready,
    output reg [1:0] s_axil_bresp,
    output reg s_axil_bvalid,
    input s_axil_bready,
    input [15:0] s_axil_araddr,
    input s_axil_arvalid,
    output s_axil_arready,
    output reg [31:0] s_axil_rdata,
    output reg [1:0] s_axil_rresp,
    output reg s_axil_rvalid,
    input s_axil_rready,
    output [31:0] m_axi0_araddr,
    output [7:0] m_axi0_arlen,
    output [2:0] m_axi0_arsize,
    output [1:0] m_axi0_arburst,
    output m_axi0_arvalid,
    input m_axi0_arready,
    input [8*BYTES-1:0] m_axi0_rdata,
    input [1:0] m_axi0_rresp,
    input m_axi0_rlast,
    input m_axi0_rvalid,
    output m_axi0_rready,
    output [31:0] m_axi0_awaddr,
    output [7:0] m_axi0_awlen,
    output [2:0] m_axi0_awsize,
    output [1:0] m_axi0_awburst,
    output m_axi0_awvalid,
    input m_axi0_awready,
    output [8*BYTES-1:0] m_axi0_wdata,
    output [BYTES-1:0] m_axi0_wstrb,
    output m_axi0_wlast,
    output m_axi0_wvalid,
    input m_axi0_wready,
    input [1:0] m_axi0_bresp,
    input m_axi0_bvalid,
    output m_axi0_bready,
    output [31:0] m_axi1_araddr,
    output [7:0] m_axi1_arlen,
    output [2:0] m_axi1_arsize,
    output [1:0] m_axi1_arburst,
    output m_axi1_arvalid,
    input m_axi1_arready,
    input [8*BYTES-1:0] m_axi1_rdata,
    input [1:0] m_axi1_rresp,
    input m_axi1_rlast,
    input m_axi1_rvalid,
    output m_axi1_rready,
    output [31:0] m_axi1_awaddr,
    output [7:0] m_axi1_awlen,
    output [2:0] m_axi1_awsize,
    output [1:0] m_axi1_awburst,
    output m_axi1_awvalid,
    input m_axi1_awready,
    output [8*BYTES-1:0] m_axi1_wdata,
    output [BYTES-1:0] m_axi1_wstrb,
    output m_axi1_wlast,
    output m_axi1_wvalid,
    input m_axi1_wready,
    input [1:0] m_axi1_bresp,
    input m_axi1_bvalid,
    output m_axi1_bready
);
  localparam SECOND = 1;  // write through channel 1
  localparam FREE = 2;  // write zeros at once, without waiting for what is read
  localparam HOLD = 4;  // take no read data for the first 300 cycles
  localparam HANG = 8;  // never done
  localparam DROP = 16;  // arvalid falls every other cycle
  localparam EARLY = 32;  // wlast one beat early
  localparam CHANGE = 64;  // wdata changes every cycle
  localparam PARTIAL = 128;  // write only the even bytes

  wire [1:0] hold;
`ifdef THROTTLE
  assign hold = throttle;
`else
  assign hold = 2'b00;
`endif

  reg [31:0] cycles, stalls, inputs, outputs, beats, burst, mode;
  reg busy, done;

  // AXI-Lite
  wire write = s_axil_awvalid && s_axil_wvalid && (!s_axil_bvalid || s_axil_bready);
  wire start = write && s_axil_awaddr == 16'h04 && s_axil_wdata[0];
  assign s_axil_awready = write;
  assign s_axil_wready = write;
  assign s_axil_arready = !s_axil_rvalid || s_axil_rready;

  always @(posedge clk) begin
    if (s_axil_bready) s_axil_bvalid <= 0;
    if (s_axil_rready) s_axil_rvalid <= 0;
    if (write) begin
      s_axil_bvalid <= 1;
      s_axil_bresp <= s_axil_wstrb == 4'hF ? 2'b00 : 2'b10;
      case (s_axil_awaddr)
        16'h04: ;
        16'h20: inputs <= s_axil_wdata;
        16'h24: outputs <= s_axil_wdata;
        16'h40: beats <= s_axil_wdata;
        16'h44: burst <= s_axil_wdata;
        16'h48: mode <= s_axil_wdata;
        default: s_axil_bresp <= 2'b10;
      endcase
    end
    if (s_axil_arvalid && s_axil_arready) begin
      s_axil_rvalid <= 1;
      s_axil_rresp <= 0;
      case (s_axil_araddr)
        16'h00: s_axil_rdata <= 32'h00010000;
        16'h08: s_axil_rdata <= {30'd0, busy, done};
        16'h0C: s_axil_rdata <= cycles;
        16'h10: s_axil_rdata <= stalls;
        16'h40: s_axil_rdata <= beats;
        default: s_axil_rresp <= 2'b10;
      endcase
    end
    if (rst) begin
      s_axil_bvalid <= 0;
      s_axil_rvalid <= 0;
    end
  end

  // Reads
  reg [31:0] asked, got, announced, sent, answered;
  reg drop;
  wire ar_fire = m_axi0_arvalid && m_axi0_arready;
  wire r_fire = m_axi0_rvalid && m_axi0_rready;
  wire ar_pending = busy && asked != beats;
  assign m_axi0_araddr = inputs + (asked << $clog2(BYTES));
  assign m_axi0_arlen = burst[7:0] - 8'd1;
  assign m_axi0_arsize = $clog2(BYTES);
  assign m_axi0_arburst = 1;
  assign m_axi0_arvalid = ar_pending && !((mode & DROP) != 0 && drop);
  assign m_axi0_rready = busy && !hold[0] && !((mode & HOLD) != 0 && cycles < 300);

  reg [8*BYTES-1:0] fifo[0:4095];
  reg [8*BYTES-1:0] head;
  integer i;

  // Writes
  wire second = (mode & SECOND) != 0;
  wire free = (mode & FREE) != 0;
  wire awready = second ? m_axi1_awready : m_axi0_awready;
  wire wready = second ? m_axi1_wready : m_axi0_wready;
  wire bvalid = second ? m_axi1_bvalid : m_axi0_bvalid;
  wire aw_pending = busy && announced != beats;
  wire aw_fire = aw_pending && awready;
  reg wvalid;
  reg [31:0] taken;
  wire w_fire = wvalid && wready;
  wire b_fire = bvalid && busy;
  wire last = sent % burst == ((mode & EARLY) != 0 ? burst - 2 : burst - 1);
  wire [8*BYTES-1:0] wdata = (mode & CHANGE) != 0 ? {BYTES{cycles[7:0]}} : head;
  wire [BYTES-1:0] wstrb = (mode & PARTIAL) != 0 ? {(BYTES + 1) / 2{2'b01}} : {BYTES{1'b1}};
  wire fetch = (!wvalid || w_fire) && taken != beats && (free || taken < got) && !hold[1] && busy;

  assign m_axi0_awaddr = outputs + (announced << $clog2(BYTES));
  assign m_axi0_awlen = burst[7:0] - 8'd1;
  assign m_axi0_awsize = $clog2(BYTES);
  assign m_axi0_awburst = 1;
  assign m_axi0_awvalid = aw_pending && !second;
  assign m_axi0_wdata = wdata;
  assign m_axi0_wstrb = wstrb;
  assign m_axi0_wlast = last;
  assign m_axi0_wvalid = wvalid && !second;
  assign m_axi0_bready = 1;
  assign m_axi1_awaddr = m_axi0_awaddr;
  assign m_axi1_awlen = m_axi0_awlen;
  assign m_axi1_awsize = $clog2(BYTES);
  assign m_axi1_awburst = 1;
  assign m_axi1_awvalid = aw_pending && second;
  assign m_axi1_wdata = wdata;
  assign m_axi1_wstrb = wstrb;
  assign m_axi1_wlast = last;
  assign m_axi1_wvalid = wvalid && second;
  assign m_axi1_bready = 1;
  assign m_axi1_araddr = 0;
  assign m_axi1_arlen = 0;
  assign m_axi1_arsize = $clog2(BYTES);
  assign m_axi1_arburst = 1;
  assign m_axi1_arvalid = 0;
  assign m_axi1_rready = 1;

  always @(posedge clk) begin
    drop <= !drop;
    if (ar_fire) asked <= asked + burst;
    if (r_fire) begin
      for (i = 0; i < BYTES; i = i + 1) fifo[got[11:0]][8*i+:8] <= m_axi0_rdata[8*i+:8] + 8'd1;
      got <= got + 1;
    end
    if (aw_fire) announced <= announced + burst;
    if (w_fire) begin
      wvalid <= 0;
      sent <= sent + 1;
    end
    if (fetch) begin
      wvalid <= 1;
      head <= free ? 0 : fifo[taken[11:0]];
      taken <= taken + 1;
    end
    if (b_fire) answered <= answered + burst;
    if (busy) cycles <= cycles + 1;
    if (busy && !r_fire) stalls <= stalls + 1;
    if (busy && answered == beats && got == beats && (mode & HANG) == 0) begin
      busy <= 0;
      done <= 1;
    end
    if (start) begin
      {asked, got, announced, sent, answered, taken, cycles, stalls} <= 0;
      busy <= 1;
      done <= 0;
    end
    if (rst) begin
      {busy, done, wvalid, drop} <= 0;
    end
  end

  // What the bench traces
  wire store_valid = w_fire;
  wire [0:0] store_buffer = second;
  wire [31:0] store_address = sent;
  wire [7:0] store_count = BYTES;
  wire [8*BYTES-1:0] store_data = wdata;
  wire arready = m_axi0_arready;
endmodule
