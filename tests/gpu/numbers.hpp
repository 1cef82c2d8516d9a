// Numbers as PTX has them: integers of each width, and the two halves, which C++ knows one of.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef _Float16 half_t;

// bfloat16, the upper half of an f32: rounded to the nearest, of two to the even one.
struct brain_t {
    u16 bits;

    brain_t() = default;
    brain_t(float x) {
        u32 word;
        std::memcpy(&word, &x, sizeof word);
        const bool is_number = x == x;
        bits = is_number ? (word + 0x7fff + (word >> 16 & 1)) >> 16 : 0x7fff;
    }
    operator float() const {
        const u32 word = (u32)bits << 16;
        float x;
        std::memcpy(&x, &word, sizeof x);
        return x;
    }
};

// What arithmetic on T is done in before it is rounded to T.
template <class T>
using Wider = std::conditional_t<sizeof(T) == 8, double, float>;

// The lowest `bytes` of a word, with the sign of what they hold or with zeros above them.
inline u64 extended(u64 word, int bytes, bool is_signed) {
    if (bytes >= 8) return word;
    const int spare_bits = 64 - 8 * bytes;
    return is_signed ? (u64)((s64)(word << spare_bits) >> spare_bits) : word << spare_bits >> spare_bits;
}

// To a power of two.
inline bool is_aligned(u64 address, u64 bytes) { return (address & (bytes - 1)) == 0; }

template <class T>
T from_bits(u64 bits) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T>
u64 bits_of(T value) {
    u64 bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}
