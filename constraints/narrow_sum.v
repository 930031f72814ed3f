// A sum of four bits as ECP5's carry cells make it: Yosys leaves carry chains to five bits and more,
// and its gates take seven tables and three levels. The first half cell makes the carry of the
// lowest bit from its operands alone, so that none enters the chain; a table adds the lowest bit.
(* techmap_celltype = "$alu" *)
module narrow_sum(A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0, B_SIGNED = 0, A_WIDTH = 1, B_WIDTH = 1, Y_WIDTH = 1;
  parameter _TECHMAP_CONSTMSK_CI_ = 0, _TECHMAP_CONSTVAL_CI_ = 0;
  parameter _TECHMAP_CONSTMSK_BI_ = 0, _TECHMAP_CONSTVAL_BI_ = 0;
  (* force_downto *) input [A_WIDTH-1:0] A;
  (* force_downto *) input [B_WIDTH-1:0] B;
  input CI, BI;
  (* force_downto *) output [Y_WIDTH-1:0] X, Y, CO;

  wire _TECHMAP_FAIL_ = Y_WIDTH != 4 || !_TECHMAP_CONSTMSK_CI_ || !_TECHMAP_CONSTMSK_BI_;

  // With D at 1 a cell hands on the lower four entries where the upper eight say 0, which they
  // always do in CARRY; elsewhere they are the sum, and the lower four are A.
  localparam [3:0] BOTH = _TECHMAP_CONSTVAL_BI_ ? 4'h2 : 4'h8, ANY = _TECHMAP_CONSTVAL_BI_ ? 4'hB : 4'hE;
  localparam [15:0] CARRY = {12'h0, _TECHMAP_CONSTVAL_CI_ ? ANY : BOTH};
  localparam [15:0] SUM = _TECHMAP_CONSTVAL_BI_ ? 16'h99AA : 16'h66AA;

  wire [3:0] a, b;
  \$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(4)) wide_a (.A(A), .Y(a));
  \$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(4)) wide_b (.A(B), .Y(b));
  wire chain;
  CCU2C #(.INIT0(CARRY), .INIT1(SUM), .INJECT1_0("NO"), .INJECT1_1("NO")) low (
    .A0(a[0]), .B0(b[0]), .C0(1'b1), .D0(1'b1), .A1(a[1]), .B1(b[1]), .C1(1'b1), .D1(1'b1),
    .S1(Y[1]), .COUT(chain)
  );
  CCU2C #(.INIT0(SUM), .INIT1(SUM), .INJECT1_0("NO"), .INJECT1_1("NO")) high (
    .CIN(chain), .A0(a[2]), .B0(b[2]), .C0(1'b1), .D0(1'b1), .A1(a[3]), .B1(b[3]), .C1(1'b1), .D1(1'b1),
    .S0(Y[2]), .S1(Y[3])
  );
  wire [3:0] second = b ^ {4{BI}};
  assign Y[0] = a[0] ^ second[0] ^ CI;
  assign X = a ^ second;
  assign CO = (a & second) | ((a | second) & (Y ^ X));
endmodule
