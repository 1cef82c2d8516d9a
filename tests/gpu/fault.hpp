// How a fault ends: said in words on stderr, then abort(), so that no test can go on and pass.
#pragma once
#include "numbers.hpp"

struct Warp;
struct Instruction;

// A fault of one lane at an instruction; `value` is the address, or what else is wrong.
[[noreturn]] void fault(const Warp& warp, const Instruction& it, int lane, const char* what, u64 value);

// A fault outside of any instruction. As printf.
[[noreturn]] void stop(const char* format, ...) __attribute__((format(printf, 1, 2)));

// A line on stderr that ends nothing. As printf.
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

inline int lowest_lane(u32 lanes) { return lanes ? __builtin_ctz(lanes) : 0; }
