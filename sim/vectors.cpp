// Runs a design with one wide input `i` and one wide output `o` over a file of input vectors:
//   vectors INPUTS OUTPUTS COUNT LATENCY
// Each vector is as long as the port in memory, rounded up to what the simulator stores.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "Vblock.h"

int main(int, char** argv) {
  const long count = std::atol(argv[3]), latency = std::atol(argv[4]);
  std::FILE* in = std::fopen(argv[1], "rb");
  std::FILE* out = std::fopen(argv[2], "wb");
  if (!in || !out) return 2;
  VerilatedContext context;
  Vblock block{&context};
  std::vector<char> buffer(sizeof(block.i));
  for (long cycle = 0; cycle < count + latency; cycle++) {
    if (cycle < count) {
      if (std::fread(buffer.data(), buffer.size(), 1, in) != 1) return 2;
      std::memcpy(&block.i, buffer.data(), buffer.size());
    }
#ifdef CLOCKED
    block.rst = 0;
    block.clk = 0;
    block.eval();
    if (cycle >= latency) std::fwrite(&block.o, sizeof(block.o), 1, out);
    block.clk = 1;
    block.eval();
#else
    block.eval();
    std::fwrite(&block.o, sizeof(block.o), 1, out);
#endif
  }
  block.final();
  return std::fclose(out) ? 2 : 0;
}
