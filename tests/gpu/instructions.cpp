// Which family an instruction belongs to, by its first word.
#include "instructions.hpp"

static const std::unordered_map<string, Maker> MAKERS = {
    {"atom", make_atomic},
    {"red", make_atomic},
    {"bar", make_barrier},
    {"barrier", make_barrier},
    {"bfe", make_bit_field},
    {"bfi", make_field_insertion},
    {"bra", make_branch},
    {"cp", make_copy},
    {"cvt", make_conversion},
    {"cvta", make_address},
    {"exit", make_end},
    {"ret", make_end},
    {"fence", make_fence},
    {"membar", make_fence},
    {"griddepcontrol", make_launch_order},
    {"ld", make_load},
    {"ldu", make_load},
    {"st", make_store},
    {"mov", make_move},
    {"prmt", make_byte_choice},
    {"setp", make_comparison},
    {"shf", make_funnel_shift},
    {"shfl", make_shuffle},
    {"trap", make_trap},
    {"wmma", make_matrix},
};

void make_instruction(Parser& parser, const Statement& statement, Instruction* made) {
    const auto found = MAKERS.find(statement.root());
    if (found != MAKERS.end())
        found->second(parser, statement, made);
    else
        make_arithmetic(parser, statement, made);
}
