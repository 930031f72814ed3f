// One row of an adder graph: y = ±(a << SHIFT_A) ± (b << SHIFT_B) ± (c << SHIFT_C), cut to WIDTH bits.
// `guests` is added to the last GUESTS bits, at most two, of two operands, without a carry.
// Up to SHORT bits of two operands are gates. Bits below BASE are those of the operand that reaches there, which is then not negated.
module intarsia_row #(
  parameter WIDTH = 8, BASE = 0,
  parameter WIDTH_A = 8, SHIFT_A = 0, SIGNED_A = 0, NEGATED_A = 0,
  parameter WIDTH_B = 8, SHIFT_B = 0, SIGNED_B = 0, NEGATED_B = 0,
  parameter WIDTH_C = 8, SHIFT_C = 0, SIGNED_C = 0, NEGATED_C = 0,
  parameter COUNT = 3, GUESTS = 0, SHORT = 3
) (
  input [WIDTH_A-1:0] a,
  input [WIDTH_B-1:0] b,
  input [WIDTH_C-1:0] c,
  input [1:0] guests,
  output [WIDTH-1:0] y
);
`ifdef INTARSIA_XILINX
  // Operand of `size` bits in `bits`, with its sign, shift and negation.
  function automatic integer value(input integer bits, size, shift, is_signed, negated);
    begin
      value = bits & ((1 << size) - 1);
      if (is_signed != 0 && ((value >> (size - 1)) & 1) != 0) value = value - (1 << size);
      value = value * (1 << shift);
      if (negated != 0) value = -value;
    end
  endfunction

  // One bit of the row, for all values of up to six bits of operands.
  function automatic [63:0] entries(input integer place);
    integer k, sum;
    begin
      for (k = 0; k < 64; k = k + 1) begin
        sum = value(k, WIDTH_A, SHIFT_A, SIGNED_A, NEGATED_A);
        if (COUNT > 1) sum = sum + value(k >> WIDTH_A, WIDTH_B, SHIFT_B, SIGNED_B, NEGATED_B);
        if (COUNT > 2) sum = sum + value(k >> (WIDTH_A + WIDTH_B), WIDTH_C, SHIFT_C, SIGNED_C, NEGATED_C);
        entries[k] = (sum >>> place) & 1;
      end
    end
  endfunction

`endif
  // Extended to the row's width by the assignment, as signed or not.
  wire [WIDTH-1:0] wide_a, wide_b, wide_c;
  generate
    if (SIGNED_A != 0) begin : signed_a
      assign wide_a = $signed(a) <<< SHIFT_A;
    end else begin : natural_a
      assign wide_a = a << SHIFT_A;
    end
    if (SIGNED_B != 0) begin : signed_b
      assign wide_b = $signed(b) <<< SHIFT_B;
    end else begin : natural_b
      assign wide_b = b << SHIFT_B;
    end
    if (SIGNED_C != 0) begin : signed_c
      assign wide_c = $signed(c) <<< SHIFT_C;
    end else begin : natural_c
      assign wide_c = c << SHIFT_C;
    end
  endgenerate
  wire [WIDTH-1:0] low = wide_a | (COUNT > 1 ? wide_b : {WIDTH{1'b0}}) | (COUNT > 2 ? wide_c : {WIDTH{1'b0}});
  generate
    if (BASE > 0) begin : wires
      assign y[(BASE < WIDTH ? BASE : WIDTH)-1:0] = low[(BASE < WIDTH ? BASE : WIDTH)-1:0];
    end
    if (BASE < WIDTH) begin : cells
      wire [WIDTH-1:BASE] p = wide_a[WIDTH-1:BASE];
      wire [WIDTH-1:BASE] q = wide_b[WIDTH-1:BASE];
      wire [WIDTH-1:BASE] r = wide_c[WIDTH-1:BASE];
`ifdef INTARSIA_XILINX
      // What six bits decide is tables without a carry, which mappers join to those around them.
      localparam BITS = WIDTH_A + (COUNT > 1 ? WIDTH_B : 0) + (COUNT > 2 ? WIDTH_C : 0);
      if (BITS <= 6) begin : packed_row
        wire [5:0] index = COUNT > 2 ? {c, b, a} : COUNT > 1 ? {b, a} : a;
        genvar j;
        for (j = BASE; j < WIDTH; j = j + 1) begin : tables
          localparam [63:0] TABLE = entries(j);
          assign y[j] = TABLE[index];
        end
      end else begin : carried
      localparam NEGATIVES = NEGATED_A + (COUNT > 1 ? NEGATED_B : 0) + (COUNT > 2 ? NEGATED_C : 0);
      localparam THREE = COUNT > 2 || NEGATIVES > 1;
      // A negated operand is its complement and 1. No carry is a constant, since mappers then put
      // inverters behind the lowest cell. With three operands the first 1 turns over the lowest
      // cell's select. Otherwise that cell stays apart and starts the chain behind it: its second
      // output is the carry, and with two negated operands the other carry is a constant majority.
      localparam APART = NEGATIVES > 1 || (NEGATIVES == 1 && !THREE);
      localparam CELLS = WIDTH - BASE;
      localparam CHAINS = (CELLS - APART + 3) / 4;
      // Where all operands are natural numbers, the bit behind the highest cell is its carry.
      localparam TOP_A = WIDTH_A + SHIFT_A;
      localparam TOP_B = COUNT > 1 ? WIDTH_B + SHIFT_B : 0;
      localparam TOP_C = COUNT > 2 ? WIDTH_C + SHIFT_C : 0;
      localparam TOP_AB = TOP_A > TOP_B ? TOP_A : TOP_B;
      localparam NATURAL = !SIGNED_A && !(COUNT > 1 && SIGNED_B) && !(COUNT > 2 && SIGNED_C) && NEGATIVES == 0;
      localparam END = NATURAL ? (TOP_AB > TOP_C ? TOP_AB : TOP_C) + (COUNT > 2) - BASE : CELLS;
      localparam [31:0] IN_A = NEGATED_A ? 32'h55555555 : 32'hAAAAAAAA;
      localparam [31:0] IN_B = COUNT < 2 ? 32'h0 : NEGATED_B ? 32'h33333333 : 32'hCCCCCCCC;
      localparam [31:0] IN_C = COUNT < 3 ? 32'h0 : NEGATED_C ? 32'h0F0F0F0F : 32'hF0F0F0F0;
      localparam [31:0] IN_M = THREE ? 32'hFF00FF00 : 32'h0;
      localparam [31:0] SUM = IN_A ^ IN_B ^ IN_C ^ IN_M;
      localparam [31:0] MAJORITY = (IN_A & IN_B) | (IN_A & IN_C) | (IN_B & IN_C);
      wire [CELLS-1:0] majority, entering;
      wire [4*CHAINS+APART:0] select, data, result, carry;
      assign entering[0] = 1'b0;
      if (CELLS > 1) begin : chained
        assign entering[CELLS-1:1] = {majority[CELLS-2:0]} | (NEGATIVES > 1);
      end
      genvar i;
      for (i = 0; i < 4 * CHAINS + APART; i = i + 1) begin : bits
        if (i >= CELLS || i >= END) begin : none
          assign select[i] = 1'b0;
          assign data[i] = 1'b0;
          if (i < CELLS) assign majority[i] = 1'b0;
        end else begin : digit
          localparam TURNED = i == 0 && NEGATIVES == 1;
          wire second = COUNT > 1 ? q[i+BASE] : 1'b0;
          wire third = COUNT > 2 ? r[i+BASE] : 1'b0;
          LUT6_2 #(.INIT({TURNED ? ~SUM : SUM, THREE ? MAJORITY : TURNED ? IN_A | IN_B : IN_A})) lut (
            .I0(p[i+BASE]), .I1(second), .I2(third), .I3(entering[i]), .I4(1'b0), .I5(1'b1),
            .O5(majority[i]), .O6(select[i])
          );
          assign data[i] = TURNED && THREE ? 1'b1 : THREE ? entering[i] : majority[i];
        end
      end
      if (APART) begin : apart
        assign result[0] = select[0];
      end
      for (i = 0; i < CHAINS; i = i + 1) begin : chains
        localparam AT = 4 * i + APART;
        if (i == 0) begin : first
          CARRY4 chain (.CI(1'b0), .CYINIT(APART ? majority[0] : 1'b0), .DI(data[AT+3:AT]), .S(select[AT+3:AT]),
                        .O(result[AT+3:AT]), .CO(carry[AT+4:AT+1]));
        end else begin : further
          CARRY4 chain (.CI(carry[AT]), .CYINIT(1'b0), .DI(data[AT+3:AT]), .S(select[AT+3:AT]),
                        .O(result[AT+3:AT]), .CO(carry[AT+4:AT+1]));
        end
      end
      assign y[WIDTH-1:BASE] = result[CELLS-1:0];
      end
`else
      if (COUNT == 2 && !(NEGATED_A && NEGATED_B)) begin : two
        localparam [0:0] NEGATED = NEGATED_A || NEGATED_B;
        wire [WIDTH-1:BASE] first = NEGATED_A ? q : p;
        wire [WIDTH-1:BASE] second = NEGATED_A ? ~p : NEGATED_B ? ~q : q;
        wire [WIDTH-1:BASE] chained, tables;
        if (GUESTS == 0) begin : alone
          assign chained = first;
          assign tables = second;
        end else begin : hosting
          // Tables in front of the last cells add all three, and their carry goes from table to
          // table, so that the chain has nothing to add to them but its own.
          localparam [WIDTH-1:0] LAST = {WIDTH{1'b1}} << (WIDTH - GUESTS);
          localparam AT = GUESTS > 1 ? WIDTH - 2 : WIDTH - 1;
          wire carry = GUESTS > 1 && ((first[AT] & second[AT]) | (first[AT] & guests[0]) | (second[AT] & guests[0]));
          wire [WIDTH-1:0] added = ({guests, {WIDTH{1'b0}}} >> 2) ^ ({carry, {WIDTH{1'b0}}} >> 1);
          assign chained = first & ~LAST[WIDTH-1:BASE];
          assign tables = LAST[WIDTH-1:BASE] & (first ^ second ^ added[WIDTH-1:BASE]) | ~LAST[WIDTH-1:BASE] & second;
        end
        if (GUESTS == 0 && WIDTH - BASE <= SHORT) begin : short
          // Too few for a carry chain: gates, which mappers join to those around them.
          wire [WIDTH:BASE] carry;
          assign carry = {(first & second) | (first & carry[WIDTH-1:BASE]) | (second & carry[WIDTH-1:BASE]), NEGATED};
          assign y[WIDTH-1:BASE] = first ^ second ^ carry[WIDTH-1:BASE];
        end else begin : long
          assign y[WIDTH-1:BASE] = NEGATED ? chained - ~tables : chained + tables;
        end
      end else begin : others
        wire [WIDTH-1:BASE] pair = COUNT < 2 ? (NEGATED_A ? -p : p)
                                 : NEGATED_A ? (NEGATED_B ? -p - q : q - p) : (NEGATED_B ? p - q : p + q);
        assign y[WIDTH-1:BASE] = COUNT < 3 ? pair : NEGATED_C ? pair - r : pair + r;
      end
`endif
    end
  endgenerate
endmodule
