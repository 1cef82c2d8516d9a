// The families of instructions. Each maker fills in what its statement says, or throws Unknown.
#pragma once
#include "parser.hpp"

typedef void (*Maker)(Parser& parser, const Statement& statement, Instruction* made);

void make_instruction(Parser& parser, const Statement& statement, Instruction* made);

void make_arithmetic(Parser& parser, const Statement& statement, Instruction* made);   // arithmetic.cpp
void make_atomic(Parser& parser, const Statement& statement, Instruction* made);       // atomics.cpp
void make_bit_field(Parser& parser, const Statement& statement, Instruction* made);    // bits.cpp
void make_field_insertion(Parser& parser, const Statement& statement, Instruction* made);
void make_byte_choice(Parser& parser, const Statement& statement, Instruction* made);
void make_funnel_shift(Parser& parser, const Statement& statement, Instruction* made);
void make_comparison(Parser& parser, const Statement& statement, Instruction* made);   // comparisons.cpp
void make_conversion(Parser& parser, const Statement& statement, Instruction* made);   // conversions.cpp
void make_copy(Parser& parser, const Statement& statement, Instruction* made);         // copies.cpp
void make_branch(Parser& parser, const Statement& statement, Instruction* made);       // control.cpp
void make_end(Parser& parser, const Statement& statement, Instruction* made);
void make_barrier(Parser& parser, const Statement& statement, Instruction* made);
void make_fence(Parser& parser, const Statement& statement, Instruction* made);
void make_launch_order(Parser& parser, const Statement& statement, Instruction* made);
void make_trap(Parser& parser, const Statement& statement, Instruction* made);
void make_shuffle(Parser& parser, const Statement& statement, Instruction* made);      // shuffles.cpp
void make_load(Parser& parser, const Statement& statement, Instruction* made);         // loads_and_stores.cpp
void make_store(Parser& parser, const Statement& statement, Instruction* made);
void make_address(Parser& parser, const Statement& statement, Instruction* made);      // moves.cpp
void make_move(Parser& parser, const Statement& statement, Instruction* made);
void make_matrix(Parser& parser, const Statement& statement, Instruction* made);       // matrices.cpp
// Lets an action that is made already run under another rounding, if the statement asks for one: rounding.cpp.
void round_as_asked(const Statement& statement, Instruction* made);

// The actions of integers and of floating point by name (`mul.hi`, `fma`), or null: integers.cpp, floats.cpp.
Action integer_action(Type type, const string& name);
Action float_action(Type type, const string& name);
