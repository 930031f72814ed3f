// DSP48E2 after UG579, as far as pair_dsp48e2.v uses it; every other setting is refused.
module DSP48E2 #(
  parameter integer ACASCREG = 1, ADREG = 1, ALUMODEREG = 1, AREG = 1, BCASCREG = 1, BREG = 1,
  parameter integer CARRYINREG = 1, CARRYINSELREG = 1, CREG = 1, DREG = 1, INMODEREG = 1,
  parameter integer MREG = 1, OPMODEREG = 1, PREG = 1,
  parameter AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A", USE_MULT = "MULTIPLY",
  parameter [47:0] RND = 48'd0
) (
  input CLK, output [47:0] P, input [29:0] A, ACIN, input [17:0] B, BCIN, input [26:0] D,
  input [47:0] C, PCIN, input [4:0] INMODE, input [8:0] OPMODE, input [3:0] ALUMODE,
  input CARRYIN, input [2:0] CARRYINSEL,
  input CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE, CEM, CEP,
  input RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP,
  input CARRYCASCIN, MULTSIGNIN
);
  reg signed [26:0] a, d;
  reg signed [17:0] b;
  reg signed [44:0] product;
  wire signed [26:0] ad = a + d;
  initial if (ADREG != 0 || AREG != 1 || BREG != 1 || DREG != 1 || MREG != 1 || PREG != 0
      || OPMODEREG != 0 || INMODEREG != 0 || ALUMODEREG != 0 || CARRYINREG != 0
      || AMULTSEL != "AD" || BMULTSEL != "B" || PREADDINSEL != "A" || USE_MULT != "MULTIPLY"
      || INMODE != 5'b00100 || OPMODE != 9'b10_000_01_01 || ALUMODE != 0 || CARRYIN != 0
      || CARRYINSEL != 0 || !(CEA2 && CEB2 && CED && CEM)
      || RSTA || RSTB || RSTD || RSTM) $fatal(1, "a setting that this model does not know");
  always @(posedge CLK) begin
    a <= A[26:0];
    b <= B;
    d <= D;
    product <= ad * b;
  end
  assign P = {{3{product[44]}}, product} + RND;
endmodule
