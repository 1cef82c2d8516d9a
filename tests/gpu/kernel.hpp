// A kernel as it is run: instructions with the places of their registers, and what a launch must know of it.
//
//   PTX ─ module.cpp ─► Kernel with its body's text ─ parser.cpp, at the first launch ─► code
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "costs.hpp"
#include "numbers.hpp"

using std::string;
using std::vector;

struct Warp;
struct Instruction;

// What an instruction does for the lanes (one bit each) that take part in it.
typedef void (*Action)(Warp& warp, const Instruction& it, u32 lanes);

// How the next instruction is found. All but NEXT are the warp's own business (warp.cpp).
enum class Flow : u8 { NEXT, BRANCH, END, BARRIER };

// A place in a warp's registers, in bytes: 32 lanes' values lie there one behind the other.
const int NO_PLACE = -1;

// [register + offset]
struct Address {
    int base = NO_PLACE;
    int base_width = 8;  // bytes, or 4
    s64 offset = 0;
};

struct Instruction {
    Action action = nullptr;
    Flow flow = Flow::NEXT;
    Unit unit = Unit::OTHER;
    bool is_predicate_negated = false;
    int predicate = NO_PLACE;
    int to = NO_PLACE;
    int a = NO_PLACE;
    int b = NO_PLACE;
    int c = NO_PLACE;
    int second_to = NO_PLACE;  // the predicate beside `to`
    int members = NO_PLACE;    // the lanes that do it together, and wait for each other: `.sync`
    int to_width = 4;          // of the register, in bytes; `width` is the one the instruction names
    int a_width = 4;
    int width = 4;
    int count = 1;    // of a vector's elements
    int variant = 0;  // each family of instructions says what these two mean
    int manner = 0;
    int target = -1;  // of a branch, in instructions
    int line = 0;     // of the PTX
    Address address;
    Address source;
    vector<int> places;         // of a vector's or a matrix's registers
    Action rounded = nullptr;   // what runs under another rounding (rounding.cpp)
};

struct Parameter {
    string name;
    u32 at;
    u32 bytes;
};

// What the kernels of a module see of it.
struct ModuleNames {
    std::map<string, u64> constants;  // address of each
    vector<string> shared;            // declarations outside of any kernel
};

// Special registers, each with the same value in every lane or one a lane.
struct SpecialRegisters {
    int thread[3];
    int block_size[3];
    int block[3];
    int grid_size[3];
    int lane;
};

struct Kernel {
    string name;
    string body;
    int first_line = 1;  // of the body, in the PTX
    int target = 0;      // the compute capability it was compiled for, 90 say
    vector<Parameter> parameters;
    u32 parameters_bytes = 0;
    u32 most_threads = 1024;
    bool has_declared_threads = false;
    bool waits_for_previous = false;
    const ModuleNames* module = nullptr;

    // From here on: made of the body by `parse_kernel`.
    std::once_flag is_parsed;
    vector<Instruction> code;
    vector<string> texts;  // of the instructions
    vector<u8> first_registers;
    u32 shared_bytes = 0;
    u32 local_bytes = 0;
    SpecialRegisters special;
};

void parse_kernel(Kernel& kernel);
