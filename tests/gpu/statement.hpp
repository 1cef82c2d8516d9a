// The text of PTX taken apart: words, operands, types and literals.
//
//   "@!%p1 ld.global.v2.f32 {%f1, %f2}, [%rd1+8]"
//     predicate !%p1 · words ld global v2 f32 · operands "{%f1, %f2}" "[%rd1+8]" · type f32
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "numbers.hpp"

using std::string;
using std::vector;

enum class Kind { NONE, UNSIGNED, SIGNED, FLOAT, BITS, PREDICATE, BRAIN, PAIR };

struct Type {
    Kind kind = Kind::NONE;
    int width = 0;  // bytes

    bool is_float() const { return kind == Kind::FLOAT || kind == Kind::BRAIN; }
    bool is_integer() const { return kind == Kind::UNSIGNED || kind == Kind::SIGNED || kind == Kind::BITS; }
};

// Why an instruction cannot be run. It is told when the instruction would be executed.
struct Unknown {
    string why;
};

struct Statement {
    string text;
    int line;
    string predicate;  // without `!`
    bool is_predicate_negated = false;
    string operation;
    vector<string> words;  // of the operation
    vector<string> operands;

    Statement(const string& text, int line);
    const string& root() const { return words[0]; }
    bool has(const char* word) const;
    // The type at the end, or the one so many words before it.
    Type type(int before_last = 0) const;
    const string& operand(size_t index) const;
    // Throws Unknown where there is a word that is neither a type nor among these, behind the first one.
    void allow(std::initializer_list<const char*> known) const;
    [[noreturn]] void refuse() const;
};

Type type_of(const string& word);
string trimmed(const string& text);
// At commas outside of brackets.
vector<string> split_operands(const string& text);
vector<string> split_at(char separator, const string& text);
vector<string> split_words(const string& text);
// False where it is no number. A decimal fraction becomes the bits of a float of `width` bytes.
bool read_literal(const string& text, int width, u64* bits);
