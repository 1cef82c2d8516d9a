// Makes a kernel's instructions of its text.
//
//   body ─ statements ─► declarations ─► registers, shared and local memory
//                     └► instructions ─ MAKERS by the first word (instructions.hpp) ─► code
//                     └► labels ─► targets of branches, at the end
#pragma once

#include <unordered_map>

#include "kernel.hpp"
#include "statement.hpp"

class Parser {
public:
    explicit Parser(Kernel& parsed) : kernel(parsed) { scopes.emplace_back(); }
    void run();

    // For the makers of instructions. `width` is in bytes; each throws Unknown where the text is nothing it knows.
    // The place of a register of this width, or of a constant.
    int operand(const string& text, int width);
    // The place of a register of any width, which is put into `width`; a constant gets the one given.
    int operand_of_any_width(const string& text, int* width);
    // {a, b}: of one width each, `_` being no place.
    vector<int> vector_of_any_width(const string& text, int* width);
    vector<int> vector_of(const string& text, int width);
    Address address(const string& text);
    // "p|q", of which the second may be missing.
    void predicates(const string& text, int width, Instruction* made);
    void branch_to(const string& label) { jumps.push_back({(int)kernel.code.size(), label}); }

private:
    struct Register {
        int place;
        int width;
    };

    void parse(const string& text);
    void declare(const string& text);
    void declare_registers(const string& text);
    void declare_memory(const string& text);
    void add_instruction(const string& text);
    void add_unknown(const string& text, const string& why);
    string next_statement(bool* is_label);
    void skip_blanks();
    void lay_out_special_registers();
    void resolve_jumps();
    int new_place(int width);
    int constant(u64 value, int width);
    Register* known(const string& name);
    const int* special(const string& name) const;
    bool symbol(const string& name, u64* value) const;

    Kernel& kernel;
    size_t at = 0;
    int line = 1;
    size_t registers_bytes = 0;
    vector<std::unordered_map<string, Register>> scopes;
    std::unordered_map<string, u64> symbols;  // shared and local memory, by their places
    std::unordered_map<string, int> labels;
    vector<std::pair<int, string>> jumps;
    vector<std::pair<int, vector<u8>>> constants;
};
