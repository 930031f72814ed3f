// A product of signed factors as slices of WIDEST by 18 bits make it: b in parts of 17 bits and the
// rest, a too if it is wider than a slice takes; parts of the same weight are added, then all. Yosys
// and constraints/registers.py put the registers around the products into the slices; those behind
// lie between slices and adders, which may be far apart.
module NAME(clk, rst, a, b, p);
  localparam A = A_BITS, B = B_BITS, LOW = 17;
  input clk, rst;
  input signed [A-1:0] a;
  input signed [B-1:0] b;
  output signed [A+B-1:0] p;
  reg signed [A-1:0] a_in;
  reg signed [B-1:0] b_in;
  reg signed [A+B-1:0] sum;
  always @(posedge clk) begin
    a_in <= a;
    b_in <= b;
  end
  assign p = sum;
  wire signed [LOW:0] b_low = {1'b0, b_in[LOW-1:0]};
  wire signed [B-LOW-1:0] b_high = b_in[B-1:LOW];
  generate
    if (A > WIDEST) begin : wide
      wire signed [LOW:0] a_low = {1'b0, a_in[LOW-1:0]};
      wire signed [A-LOW-1:0] a_high = a_in[A-1:LOW];
      reg signed [2*LOW+1:0] low, low_late;
      reg signed [A:0] cross_a, cross_a_late;
      reg signed [B:0] cross_b, cross_b_late;
      reg signed [A+B-2*LOW-1:0] high, high_late;
      reg signed [(A > B ? A : B)+1:0] middle;
      reg signed [A+B-1:0] outer;
      always @(posedge clk) begin
        low <= a_low * b_low;
        cross_a <= a_high * b_low;
        cross_b <= a_low * b_high;
        high <= a_high * b_high;
        low_late <= low;
        cross_a_late <= cross_a;
        cross_b_late <= cross_b;
        high_late <= high;
        middle <= cross_a_late + cross_b_late;
        outer <= {high_late, low_late[2*LOW-1:0]};
        sum[LOW-1:0] <= outer[LOW-1:0];
        sum[A+B-1:LOW] <= $signed(outer[A+B-1:LOW]) + middle;
      end
    end else if (WIDEST > 18) begin : cascade
      // The second slice adds what the first hands it, 17 places lower.
      reg signed [A-1:0] a_late;
      reg signed [B-LOW-1:0] b_late;
      reg signed [A+LOW:0] low, low_sum;
      reg signed [A+B-LOW-1:0] high, high_sum;
      reg [LOW-1:0] low_last;
      always @(posedge clk) begin
        a_late <= a_in;
        b_late <= b_high;
        low <= a_in * b_low;
        low_sum <= low;
        high <= a_late * b_late;
        high_sum <= high + (low_sum >>> LOW);
        low_last <= low_sum[LOW-1:0];
        sum <= {high_sum, low_last};
      end
    end else begin : narrow
      reg signed [A+LOW:0] low, low_late, low_last;
      reg signed [A+B-LOW-1:0] high, high_late, high_last;
      always @(posedge clk) begin
        low <= a_in * b_low;
        high <= a_in * b_high;
        low_late <= low;
        high_late <= high;
        low_last <= low_late;
        high_last <= high_late;
        sum[LOW-1:0] <= low_last[LOW-1:0];
        sum[A+B-1:LOW] <= (low_last >>> LOW) + high_last;
      end
    end
  endgenerate
endmodule
