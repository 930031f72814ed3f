// A product of signed factors as MULT18X18D make it: parts of 18 by 18 bits, the two of the same
// weight added, then all. Yosys and constraints/registers.py put the first registers into the slices.
module NAME(clk, rst, a, b, p);
  localparam A = A_BITS, B = B_BITS, LOW = 17;
  input clk, rst;
  input signed [A-1:0] a;
  input signed [B-1:0] b;
  output signed [A+B-1:0] p;
  wire signed [LOW:0] b_low = {1'b0, b[LOW-1:0]};
  wire signed [B-LOW-1:0] b_high = b[B-1:LOW];
  generate
    if (A > LOW + 1) begin : wide
      wire signed [LOW:0] a_low = {1'b0, a[LOW-1:0]};
      wire signed [A-LOW-1:0] a_high = a[A-1:LOW];
      reg signed [2*LOW+1:0] low;
      reg signed [A:0] cross_a;
      reg signed [B:0] cross_b;
      reg signed [A+B-2*LOW-1:0] high;
      reg signed [(A > B ? A : B)+1:0] cross;
      reg signed [A+B-1:0] outer, sum;
      always @(posedge clk) begin
        low <= a_low * b_low;
        cross_a <= a_high * b_low;
        cross_b <= a_low * b_high;
        high <= a_high * b_high;
        cross <= cross_a + cross_b;
        outer <= {high, low[2*LOW-1:0]};
        sum[LOW-1:0] <= outer[LOW-1:0];
        sum[A+B-1:LOW] <= $signed(outer[A+B-1:LOW]) + cross;
      end
      assign p = sum;
    end else begin : narrow
      reg signed [A+LOW:0] low, low_late;
      reg signed [A+B-LOW-1:0] high, high_late;
      reg signed [A+B-1:0] sum;
      always @(posedge clk) begin
        low <= a * b_low;
        high <= a * b_high;
        low_late <= low;
        high_late <= high;
        sum[LOW-1:0] <= low_late[LOW-1:0];
        sum[A+B-1:LOW] <= (low_late >>> LOW) + high_late;
      end
      assign p = sum;
    end
  endgenerate
endmodule
