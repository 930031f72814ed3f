// Runs a script of commands on the verilated testbench; nothing per cycle leaves this file.
//
//   reset                       hold rst for four cycles
//   seed N                      random stalls and latencies from N; 0 switches them off
//   write ADDRESS DATA          one AXI-Lite write (hexadecimal)
//   read ADDRESS                one AXI-Lite read, printed
//   bulk FILE                   AXI-Lite writes of (address, data) pairs of 32-bit words, pipelined
//   load OFFSET FILE            file to memory
//   store OFFSET LENGTH FILE    memory to file, noted in the results
//   fill OFFSET LENGTH BYTE     a constant to memory
//   step CYCLES                 let the clock run
//   run TIMEOUT                 start the accelerator, wait for done, print the counters
//   waves FILE                  FST from now on
//
// Results are JSON lines on stdout. A failure is one line on stderr, and status 1.

#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "Vtestbench.h"
#include "Vtestbench___024root.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#endif

namespace {

constexpr uint32_t CONTROL = 0x04, STATUS = 0x08, CYCLES = 0x0C, STALLS = 0x10;
constexpr uint32_t DONE = 1, ERROR = 4;
constexpr int POLL = 16;
constexpr int PATIENCE = 10000;

FILE* results;

[[noreturn]] void fail(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fflush(results);
    std::fputs("intarsia: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
    std::fflush(nullptr);
    std::_Exit(1);
}

class Bench {
public:
    Bench(int argc, char** argv) {
        context->commandArgs(argc, argv);
        context->fatalOnError(false);
        context->traceEverOn(VM_TRACE);
        top = std::make_unique<Vtestbench>(context.get());
        top->s_axil_wstrb = 15;
        top->rst = 1;
        tick();
    }

    ~Bench() {
        top->final();
#if VM_TRACE_FST
        if (trace) trace->close();
#endif
    }

    uint8_t* memory(uint64_t offset, uint64_t length) {
        auto& array = top->rootp->testbench__DOT__memory;
        if (offset > sizeof array || length > sizeof array - offset)
            fail("%llu bytes at offset %llu leave the memory of %zu bytes",
                 (unsigned long long)length, (unsigned long long)offset, sizeof array);
        return reinterpret_cast<uint8_t*>(&array) + offset;
    }

    void reset() {
        top->rst = 1;
        step(4);
        top->rst = 0;
    }

    void seed(uint32_t value) {
        top->seed = value;
        noise = value * 0x9E3779B97F4A7C15ull;
    }

    void step(uint64_t cycles) {
        for (uint64_t i = 0; i < cycles; ++i) tick();
    }

    uint32_t read(uint32_t address) {
        top->s_axil_araddr = address;
        top->s_axil_arvalid = 1;
        for (int waited = 0;; ++waited) {
            if (waited == PATIENCE)
                fail("AXI-Lite read of 0x%x not answered in %d cycles", address, PATIENCE);
            top->s_axil_rready = willing();
            settle();
            const bool taken = top->s_axil_arvalid && top->s_axil_arready;
            const bool answered = top->s_axil_rvalid && top->s_axil_rready;
            const uint32_t data = top->s_axil_rdata, response = top->s_axil_rresp;
            edge();
            if (taken) top->s_axil_arvalid = 0;
            if (!answered) continue;
            top->s_axil_rready = 0;
            if (response)
                fail("AXI-Lite read of 0x%x answered with response %u", address, response);
            return data;
        }
    }

    // Address and data channels advance on their own, as fast as the slave takes them. Returns the
    // cycle in which the last data beat was taken.
    uint64_t write(const std::pair<uint32_t, uint32_t>* words, size_t count) {
        size_t addresses = 0, data = 0, answers = 0;
        uint64_t last = 0;
        for (int waited = 0; answers < count; ++waited) {
            if (waited == PATIENCE)
                fail("AXI-Lite write to 0x%x not answered in %d cycles", words[answers].first,
                     PATIENCE);
            top->s_axil_awvalid = addresses < count;
            top->s_axil_wvalid = data < count;
            if (addresses < count) top->s_axil_awaddr = words[addresses].first;
            if (data < count) top->s_axil_wdata = words[data].second;
            top->s_axil_bready = willing();
            settle();
            if (top->s_axil_awvalid && top->s_axil_awready) ++addresses;
            if (top->s_axil_wvalid && top->s_axil_wready) {
                ++data;
                last = top->cycle;
            }
            if (top->s_axil_bvalid && top->s_axil_bready) {
                if (top->s_axil_bresp)
                    fail("AXI-Lite write to 0x%x answered with response %u", words[answers].first,
                         top->s_axil_bresp);
                ++answers;
                waited = 0;
            }
            edge();
        }
        top->s_axil_awvalid = top->s_axil_wvalid = top->s_axil_bready = 0;
        return last;
    }

    void run(uint64_t timeout) {
        constexpr size_t channels = sizeof top->read_beats / sizeof top->read_beats[0];
        uint64_t before[2][channels];
        for (size_t n = 0; n < channels; ++n) {
            before[0][n] = top->read_beats[n];
            before[1][n] = top->write_beats[n];
        }
        const std::pair<uint32_t, uint32_t> command{CONTROL, 1};
        const uint64_t start = write(&command, 1);
        uint32_t status = 0;
        while (!((status = read(STATUS)) & DONE) && top->cycle - start <= timeout) step(POLL);
        const bool late = !(status & DONE);
        std::fprintf(results, "{\"timeout\":%s,\"start\":%llu,\"cycles\":%u,\"stalls\":%u,\"error\":%s",
                     late ? "true" : "false", (unsigned long long)start, read(CYCLES), read(STALLS),
                     status & ERROR ? "true" : "false");
        for (int side = 0; side < 2; ++side) {
            std::fprintf(results, ",\"%s_beats\":[", side ? "write" : "read");
            for (size_t n = 0; n < channels; ++n) {
                const uint64_t beats = side ? top->write_beats[n] : top->read_beats[n];
                std::fprintf(results, "%s%llu", n ? "," : "",
                             (unsigned long long)(beats - before[side][n]));
            }
            std::fputc(']', results);
        }
        std::fputs("}\n", results);
        if (late)
            fail("not done %llu cycles after the start (status 0x%x)", (unsigned long long)timeout,
                 status);
    }

    void waves(const std::string& name) {
#if VM_TRACE_FST
        if (!trace) {
            trace = std::make_unique<VerilatedFstC>();
            top->trace(trace.get(), 99);
        } else {
            trace->close();
        }
        trace->open(name.c_str());
        if (!trace->isOpen()) fail("cannot write %s", name.c_str());
#else
        fail("waves %s: this simulator was built without waves", name.c_str());
#endif
    }

private:
    void settle() {
        top->clk = 0;
        eval(0);
    }

    void edge() {
        top->clk = 1;
        eval(1);
        context->timeInc(1);
        if (context->gotFinish()) {
            std::fflush(nullptr);
            std::_Exit(1);
        }
    }

    void tick() {
        settle();
        edge();
    }

    // Verilator's time is the number of the cycle, so that its messages state it.
    void eval(int half) {
        top->eval();
#if VM_TRACE_FST
        if (trace) trace->dump(2 * context->time() + half);
#else
        (void)half;
#endif
    }

    bool willing() {
        if (!top->seed) return true;
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        return noise >> 63;
    }

    std::unique_ptr<VerilatedContext> context = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vtestbench> top;
#if VM_TRACE_FST
    std::unique_ptr<VerilatedFstC> trace;
#endif
    uint64_t noise = 1;
};

std::vector<char> contents(const std::string& name) {
    std::ifstream file(name, std::ios::binary);
    if (!file) fail("cannot read %s", name.c_str());
    return {std::istreambuf_iterator<char>(file), {}};
}

void execute(Bench& bench, const std::string& line) {
    std::istringstream words(line);
    std::string command, file;
    uint64_t a = 0, b = 0, c = 0;
    const auto rest = [&] { return bool(std::getline(words >> std::ws, file)); };
    bool good = true;
    words >> command;
    if (command.empty()) return;
    if (command == "reset") {
        bench.reset();
    } else if (command == "seed") {
        if ((good = bool(words >> a))) bench.seed(a);
    } else if (command == "write") {
        if ((good = bool(words >> std::hex >> a >> b))) {
            const std::pair<uint32_t, uint32_t> word{a, b};
            bench.write(&word, 1);
        }
    } else if (command == "read") {
        if ((good = bool(words >> std::hex >> a)))
            std::fprintf(results, "{\"address\":%llu,\"data\":%u}\n", (unsigned long long)a,
                         bench.read(a));
    } else if (command == "bulk") {
        if ((good = rest())) {
            const auto bytes = contents(file);
            if (bytes.size() % 8) fail("%s is not made of pairs of words", file.c_str());
            std::vector<std::pair<uint32_t, uint32_t>> pairs(bytes.size() / 8);
            for (size_t i = 0; i < pairs.size(); ++i) {
                std::memcpy(&pairs[i].first, &bytes[8 * i], 4);
                std::memcpy(&pairs[i].second, &bytes[8 * i + 4], 4);
            }
            bench.write(pairs.data(), pairs.size());
        }
    } else if (command == "load") {
        if ((good = words >> a && rest())) {
            const auto bytes = contents(file);
            std::memcpy(bench.memory(a, bytes.size()), bytes.data(), bytes.size());
        }
    } else if (command == "store") {
        if ((good = words >> a >> b && rest())) {
            std::ofstream out(file, std::ios::binary);
            out.write(reinterpret_cast<char*>(bench.memory(a, b)), b);
            if (!out) fail("cannot write %s", file.c_str());
            std::fprintf(results, "{\"offset\":%llu,\"stored\":%llu}\n", (unsigned long long)a,
                         (unsigned long long)b);
        }
    } else if (command == "fill") {
        if ((good = bool(words >> a >> b >> c))) std::memset(bench.memory(a, b), int(c), b);
    } else if (command == "step") {
        if ((good = bool(words >> a))) bench.step(a);
    } else if (command == "run") {
        if ((good = bool(words >> a))) bench.run(a);
    } else if (command == "waves") {
        if ((good = rest())) bench.waves(file);
    } else {
        good = false;
    }
    if (!good) fail("cannot understand the command: %s", line.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    // Verilator reports on stdout, which is for results: send what it says to stderr.
    results = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (argc < 2) fail("usage: %s SCRIPT [+stores=FILE] [+events=FILE]", argv[0]);
    std::ifstream script(argv[1]);
    if (!script) fail("cannot read the script %s", argv[1]);
    Bench bench(argc, argv);
    for (std::string line; std::getline(script, line);) execute(bench, line);
    std::fflush(results);
    return 0;
}
