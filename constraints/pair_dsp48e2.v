// Two products in one DSP48E2: (b1 * 2^18 + b0) * a + 2^17.
// The constant makes the lower field positive, so that it borrows nothing from the upper one.
module pair(clk, rst, a, b0, b1, p0, p1);
  input clk;
  input rst;
  input [7:0] a;
  input [7:0] b0;
  input [7:0] b1;
  output [15:0] p0;
  output [15:0] p1;
  wire [47:0] p;
  assign p0 = p[15:0];
  assign p1 = p[33:18];
  DSP48E2 #(
    .ADREG(0), .ALUMODEREG(0), .AMULTSEL("AD"), .AREG(1), .BREG(1), .CARRYINREG(0),
    .CARRYINSELREG(0), .CREG(0), .DREG(1), .INMODEREG(0), .MREG(1), .OPMODEREG(0), .PREG(0),
    .RND(48'h000000020000)
  ) dsp (
    .CLK(clk), .P(p),
    .A({{4{b1[7]}}, b1, 18'd0}), .B({{10{a[7]}}, a}), .D({{19{b0[7]}}, b0}), .C(48'd0),
    .INMODE(5'b00100),    // D + A
    .OPMODE(9'b100000101),  // W: RND, X and Y: M
    .ALUMODE(4'b0000), .CARRYIN(1'b0), .CARRYINSEL(3'b000),
    .CEA1(1'b1), .CEA2(1'b1), .CEAD(1'b1), .CEALUMODE(1'b1), .CEB1(1'b1), .CEB2(1'b1),
    .CEC(1'b1), .CECARRYIN(1'b1), .CECTRL(1'b1), .CED(1'b1), .CEINMODE(1'b1), .CEM(1'b1),
    .CEP(1'b1),
    .RSTA(1'b0), .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0), .RSTB(1'b0), .RSTC(1'b0),
    .RSTCTRL(1'b0), .RSTD(1'b0), .RSTINMODE(1'b0), .RSTM(1'b0), .RSTP(1'b0),
    .ACIN(30'd0), .BCIN(18'd0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0), .PCIN(48'd0)
  );
endmodule
