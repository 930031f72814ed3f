// The two functions of zlib that Verilator's FST writer calls, so that waveforms need no system
// library: a valid zlib stream of stored blocks. It is never shorter than its source, and the
// writer then keeps the source itself.
#ifndef INTARSIA_ZLIB_H
#define INTARSIA_ZLIB_H

#include <cstring>

using Bytef = unsigned char;
using uLong = unsigned long;
using uLongf = unsigned long;

constexpr int Z_OK = 0;
constexpr int Z_BUF_ERROR = -5;
constexpr uLong STORED = 65535;

inline uLong compressBound(uLong size) { return size + 5 * (size / STORED + 1) + 6; }

inline int compress2(Bytef* target, uLongf* length, const Bytef* source, uLong size, int) {
    if (*length < compressBound(size)) return Z_BUF_ERROR;
    Bytef* out = target;
    *out++ = 0x78;
    *out++ = 0x01;
    uLong a = 1, b = 0;
    for (uLong i = 0; i < size; ++i) {
        a = (a + source[i]) % 65521;
        b = (b + a) % 65521;
    }
    uLong at = 0;
    do {
        const uLong part = size - at < STORED ? size - at : STORED;
        *out++ = at + part == size;
        *out++ = static_cast<Bytef>(part);
        *out++ = static_cast<Bytef>(part >> 8);
        *out++ = static_cast<Bytef>(~part);
        *out++ = static_cast<Bytef>(~part >> 8);
        std::memcpy(out, source + at, part);
        out += part;
        at += part;
    } while (at < size);
    for (const uLong half : {b, a}) {
        *out++ = static_cast<Bytef>(half >> 8);
        *out++ = static_cast<Bytef>(half);
    }
    *length = static_cast<uLongf>(out - target);
    return Z_OK;
}

#endif
