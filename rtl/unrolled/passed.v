// A value as it is. Mappers leave this module whole, so that the registers of one value behind several of it
// stay several, each near its readers.
(* keep_hierarchy *)
module intarsia_passed #(
  parameter WIDTH = 8
) (
  input [WIDTH-1:0] a,
  output [WIDTH-1:0] y
);
  assign y = a;
endmodule
