// Runs the top of a board, and carries the bits of its UART to and from a pseudo-terminal.
//
//   simulator FILE-DESCRIPTOR CYCLES-PER-BIT FLIP DROP REPEAT SEED
//
// FLIP, DROP and REPEAT are noise on the line to the chip, and FLIP, DROP and REPEAT on the line
// from it: how many of a million bits are inverted, and how many of a million bytes are lost or
// come twice. The clock stands while nothing happens, so that a waiting host costs nothing. Ends
// when the terminal is closed.

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>

#include "Vtestbench.h"
#include "verilated.h"

namespace {

constexpr int QUIET = 4'000'000;  // cycles without a byte, after which the clock stands
constexpr int LOOK = 64;          // cycles between two looks at the terminal
constexpr double MILLION = 1e6;

struct Noise {
    double flip, drop, repeat;
};

class Line {
  public:
    Line(int terminal, int divisor, Noise noise, unsigned seed)
        : terminal_(terminal), divisor_(divisor), noise_(noise), random_(seed) {}

    // Takes what the host wrote; false once it is gone.
    bool look(bool wait) {
        pollfd state{terminal_, POLLIN, 0};
        if (poll(&state, 1, wait ? -1 : 0) <= 0) return true;
        uint8_t bytes[256];
        ssize_t count = read(terminal_, bytes, sizeof bytes);
        if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
        for (ssize_t i = 0; i < count; i++) {
            if (happens(noise_.drop)) continue;
            incoming_.push_back(bytes[i]);
            if (happens(noise_.repeat)) incoming_.push_back(bytes[i]);
        }
        quiet_ = 0;
        return true;
    }

    // The level of the wire to the chip in this cycle.
    bool drive() {
        if (sending_ == 0 && !incoming_.empty()) {
            frame_ = 0x200 | incoming_.front() << 1;
            incoming_.pop_front();
            for (int bit = 0; bit < 10; bit++) frame_ ^= happens(noise_.flip) << bit;
            sending_ = 10 * divisor_;
        }
        if (sending_ == 0) return true;
        int bit = 10 - (sending_ + divisor_ - 1) / divisor_;
        sending_--;
        quiet_ = 0;
        return frame_ >> bit & 1;
    }

    // Takes the level of the wire from the chip in this cycle.
    void sample(bool level) {
        quiet_++;
        if (receiving_ == 0) {
            if (!level) receiving_ = 10 * divisor_;
            return;
        }
        int place = 10 * divisor_ - receiving_;
        receiving_--;
        quiet_ = 0;
        if (place % divisor_ != divisor_ / 2) return;
        int bit = place / divisor_;
        bool seen = level ^ happens(noise_.flip);
        if (bit >= 1 && bit <= 8) byte_ = byte_ >> 1 | seen << 7;
        if (bit == 9) {
            receiving_ = 0;
            if (seen && !happens(noise_.drop)) {
                put();
                if (happens(noise_.repeat)) put();
            }
        }
    }

    bool quiet() const { return quiet_ > QUIET; }

  private:
    bool happens(double share) { return share > 0 && chance_(random_) < share / MILLION; }

    void put() {
        while (write(terminal_, &byte_, 1) < 0 && (errno == EAGAIN || errno == EINTR)) {
        }
    }

    int terminal_, divisor_;
    Noise noise_;
    std::mt19937_64 random_;
    std::uniform_real_distribution<double> chance_{0, 1};
    std::deque<uint8_t> incoming_;
    unsigned frame_ = 0;
    int sending_ = 0, receiving_ = 0;
    int64_t quiet_ = 0;
    uint8_t byte_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) {
        std::fputs("intarsia: six arguments are needed\n", stderr);
        return 1;
    }
    Noise noise{std::atof(argv[3]), std::atof(argv[4]), std::atof(argv[5])};
    Line line(std::atoi(argv[1]), std::atoi(argv[2]), noise, std::atoi(argv[6]));
    VerilatedContext context;
    auto top = std::make_unique<Vtestbench>(&context);
    top->rx = 1;
    for (int64_t cycle = 0;; cycle++) {
        bool wait = line.quiet();
        if ((wait || cycle % LOOK == 0) && !line.look(wait)) return 0;
        top->rx = line.drive();
        top->clk = 0;
        top->eval();
        top->clk = 1;
        top->eval();
        line.sample(top->tx);
    }
}
