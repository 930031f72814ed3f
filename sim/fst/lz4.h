// The two functions of LZ4 that Verilator's FST writer calls, so that waveforms need no system
// library: a valid LZ4 block of literals only. It is used for the hierarchy of signals alone.
#ifndef INTARSIA_LZ4_H
#define INTARSIA_LZ4_H

#include <cstring>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char* source, char* target, int size, int capacity) {
    if (capacity < LZ4_compressBound(size)) return 0;
    unsigned char* out = reinterpret_cast<unsigned char*>(target);
    int left = size;
    *out++ = static_cast<unsigned char>((left < 15 ? left : 15) << 4);
    if (left >= 15) {
        for (left -= 15; left >= 255; left -= 255) *out++ = 255;
        *out++ = static_cast<unsigned char>(left);
    }
    std::memcpy(out, source, static_cast<size_t>(size));
    return static_cast<int>(out - reinterpret_cast<unsigned char*>(target)) + size;
}

#endif
