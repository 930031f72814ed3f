// One AXI4 channel into a memory array that its parent owns, so that several channels share one
// address space. In order, no IDs, every response OKAY. It checks the master's protocol and ends the
// simulation with $fatal at the first violation.
//
// Timing with seed = 0. A beat "slot" is one cycle; reads and writes together have one per cycle:
//   AR handshake in cycle t   the first R beat is valid in cycle t + LATENCY, the rest of the burst
//                             follows one per cycle, and the next burst's beats follow back to back
//                             as soon as its own latency has passed (latencies overlap);
//   AW handshake in cycle t   W beats are accepted from cycle t + 1, one per cycle;
//   last W beat in cycle u    B is valid in cycle u + WRITE_LATENCY.
// A W beat spends the slot of the cycle of its handshake; an R beat spends the slot of the cycle
// before it becomes valid (two beats of output buffer keep R at one per cycle). In cycles in which
// both want the slot they take turns, writes first after reset.
// ARREADY (AWREADY) is low while OUTSTANDING bursts are open: from the AR (AW) handshake up to and
// including the cycle of the last R (the B) handshake.
//
// With seed != 0 each of the five channels stalls with probability 0.5 per cycle and each burst's
// latency is uniform in 2..200, all drawn from a generator that restarts at reset or a new seed.
//
// No output depends combinationally on an input.
module axi_memory #(
    parameter int DATA_BYTES = 8,
    parameter longint MEMORY_BYTES = 1 << 20,
    parameter int LATENCY = 64,
    parameter int WRITE_LATENCY = 1,
    parameter int OUTSTANDING = 16,
    parameter int CHANNEL = 0,
    localparam int INDEX_BITS = $clog2(MEMORY_BYTES / longint'(DATA_BYTES))
) (
    input logic clk,
    input logic rst,
    input logic [31:0] seed,

    input logic [31:0] s_axi_araddr,
    input logic [7:0] s_axi_arlen,
    input logic [2:0] s_axi_arsize,
    input logic [1:0] s_axi_arburst,
    input logic s_axi_arvalid,
    output logic s_axi_arready,
    output logic [8*DATA_BYTES-1:0] s_axi_rdata,
    output logic [1:0] s_axi_rresp,
    output logic s_axi_rlast,
    output logic s_axi_rvalid,
    input logic s_axi_rready,
    input logic [31:0] s_axi_awaddr,
    input logic [7:0] s_axi_awlen,
    input logic [2:0] s_axi_awsize,
    input logic [1:0] s_axi_awburst,
    input logic s_axi_awvalid,
    output logic s_axi_awready,
    input logic [8*DATA_BYTES-1:0] s_axi_wdata,
    input logic [DATA_BYTES-1:0] s_axi_wstrb,
    input logic s_axi_wlast,
    input logic s_axi_wvalid,
    output logic s_axi_wready,
    output logic [1:0] s_axi_bresp,
    output logic s_axi_bvalid,
    input logic s_axi_bready,

    // The parent reads combinationally, and writes on the falling edge of clk when write_enable.
    output logic [INDEX_BITS-1:0] read_index,
    input logic [8*DATA_BYTES-1:0] read_data,
    output logic write_enable,
    output logic [INDEX_BITS-1:0] write_index,
    output logic [8*DATA_BYTES-1:0] write_data,
    output logic [DATA_BYTES-1:0] write_strobe,

    output logic [63:0] read_beats,
    output logic [63:0] write_beats
);

  localparam int OFFSET_BITS = $clog2(DATA_BYTES);
  localparam int POINTER_BITS = OUTSTANDING > 1 ? $clog2(OUTSTANDING) : 1;
  localparam int COUNT_BITS = $clog2(OUTSTANDING + 1);
  localparam logic [COUNT_BITS-1:0] FULL = COUNT_BITS'(OUTSTANDING);
  localparam logic [POINTER_BITS-1:0] LAST = POINTER_BITS'(OUTSTANDING - 1);

  initial begin
    if (LATENCY < 2 || WRITE_LATENCY < 1) $fatal(1, "LATENCY is at least 2, WRITE_LATENCY 1");
  end

  function automatic logic [POINTER_BITS-1:0] after(input logic [POINTER_BITS-1:0] pointer);
    return pointer == LAST ? '0 : pointer + 1'b1;
  endfunction

  // ------------------------------------------------------------------------------- randomness

  logic [63:0] noise, noise_a, noise_b;
  logic [31:0] noise_seed;
  wire [63:0] scattered =
      ({32'(CHANNEL + 1), seed} ^ 64'h2545F4914F6CDD1D) * 64'h9E3779B97F4A7C15;
  assign noise_a = noise ^ (noise << 13);
  assign noise_b = noise_a ^ (noise_a >> 7);

  always_ff @(posedge clk) begin
    noise_seed <= seed;
    if (rst || seed != noise_seed) noise <= scattered ^ (scattered >> 29) | 64'd1;
    else noise <= noise_b ^ (noise_b << 17);
  end

  wire random = seed != 0;
  wire [4:0] go = random ? noise[63:59] : '1;  // AR, R, AW, W, B
  wire [63:0] read_latency = random ? 64'(24'd2 + (24'(noise[15:0]) * 24'd199 >> 16))
                                    : 64'(LATENCY);
  wire [63:0] write_latency = random ? 64'(24'd2 + (24'(noise[31:16]) * 24'd199 >> 16))
                                     : 64'(WRITE_LATENCY);

  logic [63:0] now;
  always_ff @(posedge clk) now <= rst ? '0 : now + 1;

  // ------------------------------------------------------------------------------------ reads

  logic [INDEX_BITS-1:0] read_queue_index[OUTSTANDING];
  logic [7:0] read_queue_length[OUTSTANDING];
  logic [63:0] read_queue_time[OUTSTANDING];
  logic [POINTER_BITS-1:0] read_head, read_tail;
  logic [COUNT_BITS-1:0] reads_open, reads_waiting;
  logic [7:0] read_beat;
  logic [INDEX_BITS-1:0] read_offset;

  logic [8*DATA_BYTES-1:0] out_data[2];
  logic out_last[2];
  logic out_head, out_tail, out_shown;
  logic [1:0] out_count;

  logic read_wants, read_slot, write_open, write_turn;
  wire read_accept = s_axi_arvalid && s_axi_arready;
  wire read_done = s_axi_rvalid && s_axi_rready;
  wire read_ends = read_beat == read_queue_length[read_head];

  assign s_axi_arready = reads_open != FULL && go[0];
  assign s_axi_rvalid = out_count != 0 && (out_shown || go[1]);
  assign s_axi_rdata = out_data[out_head];
  assign s_axi_rlast = out_last[out_head];
  assign s_axi_rresp = '0;

  assign read_wants = reads_waiting != 0 && out_count != 2 && read_queue_time[read_head] <= now;
  assign read_slot = read_wants && !(s_axi_wvalid && s_axi_wready);
  assign read_offset = INDEX_BITS'(read_beat);
  assign read_index = read_queue_index[read_head] + read_offset;

  always_ff @(posedge clk) begin
    if (read_accept) begin
      read_queue_index[read_tail] <= s_axi_araddr[OFFSET_BITS+:INDEX_BITS];
      read_queue_length[read_tail] <= s_axi_arlen;
      read_queue_time[read_tail] <= now + read_latency - 1;
      read_tail <= after(read_tail);
    end
    if (read_slot) begin
      out_data[out_tail] <= read_data;
      out_last[out_tail] <= read_ends;
      out_tail <= !out_tail;
      read_beat <= read_ends ? '0 : read_beat + 1;
      if (read_ends) read_head <= after(read_head);
    end
    if (read_done) begin
      out_head <= !out_head;
      read_beats <= read_beats + 1;
    end
    out_shown <= s_axi_rvalid && !s_axi_rready;
    out_count <= out_count + 2'(read_slot) - 2'(read_done);
    reads_waiting <= reads_waiting + COUNT_BITS'(read_accept) - COUNT_BITS'(read_slot && read_ends);
    reads_open <= reads_open + COUNT_BITS'(read_accept) - COUNT_BITS'(read_done && s_axi_rlast);
    if (rst) begin
      {read_head, read_tail, reads_open, reads_waiting, read_beat} <= '0;
      {out_head, out_tail, out_shown, out_count} <= '0;
      read_beats <= '0;
    end
  end

  // ----------------------------------------------------------------------------------- writes

  logic [INDEX_BITS-1:0] write_queue_index[OUTSTANDING];
  logic [7:0] write_queue_length[OUTSTANDING];
  logic [63:0] answer_queue_time[OUTSTANDING];
  logic [POINTER_BITS-1:0] write_head, write_tail, answer_head, answer_tail;
  logic [COUNT_BITS-1:0] writes_open, writes_waiting, answers_waiting;
  logic [7:0] write_beat;
  logic answer_shown;

  wire write_accept = s_axi_awvalid && s_axi_awready;
  wire write_slot = s_axi_wvalid && s_axi_wready;
  wire write_ends = write_beat == write_queue_length[write_head];
  wire answered = s_axi_bvalid && s_axi_bready;

  assign write_open = writes_waiting != 0 && go[3];
  assign s_axi_awready = writes_open != FULL && go[2];
  assign s_axi_wready = write_open && (!read_wants || write_turn);
  assign s_axi_bvalid = answers_waiting != 0 && answer_queue_time[answer_head] <= now
                        && (answer_shown || go[4]);
  assign s_axi_bresp = '0;

  always_ff @(posedge clk) begin
    if (write_accept) begin
      write_queue_index[write_tail] <= s_axi_awaddr[OFFSET_BITS+:INDEX_BITS];
      write_queue_length[write_tail] <= s_axi_awlen;
      write_tail <= after(write_tail);
    end
    if (write_slot) begin
      write_beats <= write_beats + 1;
      write_beat <= write_ends ? '0 : write_beat + 1;
      if (write_ends) begin
        write_head <= after(write_head);
        answer_queue_time[answer_tail] <= now + write_latency;
        answer_tail <= after(answer_tail);
      end
    end
    if (answered) answer_head <= after(answer_head);
    answer_shown <= s_axi_bvalid && !s_axi_bready;
    writes_waiting <= writes_waiting + COUNT_BITS'(write_accept)
                      - COUNT_BITS'(write_slot && write_ends);
    answers_waiting <= answers_waiting + COUNT_BITS'(write_slot && write_ends)
                       - COUNT_BITS'(answered);
    writes_open <= writes_open + COUNT_BITS'(write_accept) - COUNT_BITS'(answered);
    if (read_wants && s_axi_wvalid && write_open) write_turn <= !write_turn;

    // Registered, so that the parent may write half a cycle later, away from every reader.
    write_enable <= write_slot && !rst;
    write_index <= write_queue_index[write_head] + INDEX_BITS'(write_beat);
    write_data <= s_axi_wdata;
    write_strobe <= s_axi_wstrb;
    if (rst) begin
      {write_head, write_tail, writes_open, writes_waiting, write_beat} <= '0;
      {answer_head, answer_tail, answer_shown, answers_waiting} <= '0;
      write_turn <= 1'b1;
      write_beats <= '0;
    end
  end

  // -------------------------------------------------------------------------- protocol checks

  logic held_ar, held_aw, held_w;
  logic [44:0] last_ar, last_aw;
  logic [9*DATA_BYTES:0] last_w;
  wire [44:0] this_ar = {s_axi_araddr, s_axi_arlen, s_axi_arsize, s_axi_arburst};
  wire [44:0] this_aw = {s_axi_awaddr, s_axi_awlen, s_axi_awsize, s_axi_awburst};
  wire [9*DATA_BYTES:0] this_w = {s_axi_wdata, s_axi_wstrb, s_axi_wlast};

  task automatic check_burst(input string kind, input logic [44:0] burst);
    logic [31:0] address, bytes;
    address = burst[44:13];
    bytes = (32'(burst[12:5]) + 1) * DATA_BYTES;
    if ($isunknown(burst))
      $fatal(1, "AXI channel %0d: %s burst with unknown bits", CHANNEL, kind);
    if (burst[4:2] != 3'(OFFSET_BITS))
      $fatal(1, "AXI channel %0d: %s burst at 0x%h has size %0d, the bus %0d",
             CHANNEL, kind, address, burst[4:2], OFFSET_BITS);
    if (burst[1:0] != 2'b01)
      $fatal(1, "AXI channel %0d: %s burst at 0x%h is of type %b, not INCR",
             CHANNEL, kind, address, burst[1:0]);
    if ((address & 32'(DATA_BYTES - 1)) != 0)
      $fatal(1, "AXI channel %0d: %s burst at 0x%h is not aligned to %0d bytes",
             CHANNEL, kind, address, DATA_BYTES);
    if (longint'({32'd0, address}) + longint'({32'd0, bytes}) > MEMORY_BYTES)
      $fatal(1, "AXI channel %0d: %s burst of %0d bytes at 0x%h leaves the memory of %0d bytes",
             CHANNEL, kind, bytes, address, MEMORY_BYTES);
    if (32'(address[11:0]) + bytes > 4096)
      $fatal(1, "AXI channel %0d: %s burst of %0d bytes at 0x%h crosses a 4 KB boundary",
             CHANNEL, kind, bytes, address);
  endtask

  always_ff @(posedge clk) begin
    held_ar <= !rst && s_axi_arvalid && !s_axi_arready;
    held_aw <= !rst && s_axi_awvalid && !s_axi_awready;
    held_w <= !rst && s_axi_wvalid && !s_axi_wready;
    last_ar <= this_ar;
    last_aw <= this_aw;
    last_w <= this_w;
    if (!rst) begin
      if ($isunknown({s_axi_arvalid, s_axi_rready, s_axi_awvalid, s_axi_wvalid, s_axi_bready}))
        $fatal(1, "AXI channel %0d: a valid or ready is unknown", CHANNEL);
      if (held_ar && !s_axi_arvalid)
        $fatal(1, "AXI channel %0d: arvalid fell before arready", CHANNEL);
      if (held_aw && !s_axi_awvalid)
        $fatal(1, "AXI channel %0d: awvalid fell before awready", CHANNEL);
      if (held_w && !s_axi_wvalid)
        $fatal(1, "AXI channel %0d: wvalid fell before wready", CHANNEL);
      if (held_ar && this_ar != last_ar)
        $fatal(1, "AXI channel %0d: AR payload changed before arready", CHANNEL);
      if (held_aw && this_aw != last_aw)
        $fatal(1, "AXI channel %0d: AW payload changed before awready", CHANNEL);
      if (held_w && this_w != last_w)
        $fatal(1, "AXI channel %0d: W payload changed before wready", CHANNEL);
      if (read_accept) check_burst("read", this_ar);
      if (write_accept) check_burst("write", this_aw);
      if (write_slot && $isunknown({s_axi_wstrb, s_axi_wlast}))
        $fatal(1, "AXI channel %0d: wstrb or wlast is unknown", CHANNEL);
      if (write_slot && s_axi_wlast != write_ends)
        $fatal(1, "AXI channel %0d: wlast is %b on beat %0d of a burst of %0d",
               CHANNEL, s_axi_wlast, write_beat + 1, 9'(write_queue_length[write_head]) + 1);
    end
  end

endmodule
