// Takes the text of PTX apart.
#include "statement.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>

static const char* BLANKS = " \t\r\n";

string trimmed(const string& text) {
    const size_t first = text.find_first_not_of(BLANKS);
    if (first == string::npos) return "";
    return text.substr(first, text.find_last_not_of(BLANKS) - first + 1);
}

vector<string> split_operands(const string& text) {
    vector<string> parts(1);
    int depth = 0;
    for (char c : text) {
        if (std::strchr("{[(", c)) ++depth;
        if (std::strchr("}])", c)) --depth;
        if (c == ',' && depth == 0)
            parts.emplace_back();
        else
            parts.back() += c;
    }
    for (string& part : parts) part = trimmed(part);
    if (parts.back().empty()) parts.pop_back();
    return parts;
}

vector<string> split_at(char separator, const string& text) {
    vector<string> parts(1);
    for (char c : text) {
        if (c == separator)
            parts.emplace_back();
        else
            parts.back() += c;
    }
    return parts;
}

vector<string> split_words(const string& text) {
    vector<string> words;
    for (size_t at = 0; (at = text.find_first_not_of(BLANKS, at)) != string::npos;) {
        const size_t end = std::min(text.find_first_of(BLANKS, at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end;
    }
    return words;
}

Type type_of(const string& word) {
    if (word == "pred") return {Kind::PREDICATE, 1};
    if (word == "bf16") return {Kind::BRAIN, 2};
    if (word == "f16x2" || word == "bf16x2") return {Kind::PAIR, 4};
    if (word.size() < 2 || !std::strchr("usfb", word[0])) return {};
    const int bits = std::atoi(word.c_str() + 1);
    if (word.substr(1) != std::to_string(bits) || (bits != 8 && bits != 16 && bits != 32 && bits != 64)) return {};
    const Kind kind = word[0] == 'u'   ? Kind::UNSIGNED
                      : word[0] == 's' ? Kind::SIGNED
                      : word[0] == 'f' ? Kind::FLOAT
                                       : Kind::BITS;
    return {kind, bits / 8};
}

static bool read_decimal_fraction(const string& text, int width, u64* bits) {
    char* end;
    const double value = std::strtod(text.c_str(), &end);
    if (*end) return false;
    if (width != 4 && width != 8) return false;
    *bits = width == 4 ? bits_of((float)value) : bits_of(value);
    return true;
}

bool read_literal(const string& text, int width, u64* bits) {
    if (text.empty()) return false;
    const char kind = text.size() > 2 && text[0] == '0' ? std::tolower(text[1]) : ' ';
    if ((kind == 'f' && text.size() == 10) || (kind == 'd' && text.size() == 18)) {
        *bits = std::strtoull(text.c_str() + 2, nullptr, 16);
        return true;
    }
    if (!std::isdigit(text[0]) && text[0] != '-' && text[0] != '+') return false;
    if (text.find('.') != string::npos) return read_decimal_fraction(text, width, bits);
    char* end;
    *bits = text[0] == '-' ? (u64)std::strtoll(text.c_str(), &end, 0) : std::strtoull(text.c_str(), &end, 0);
    if (*end == 'U') ++end;
    return *end == 0;
}

Statement::Statement(const string& whole, int at_line) : text(whole), line(at_line) {
    string rest = whole;
    if (rest[0] == '@') {
        const size_t end = std::min(rest.find_first_of(BLANKS), rest.size());
        is_predicate_negated = rest.compare(0, 2, "@!") == 0;
        predicate = rest.substr(is_predicate_negated ? 2 : 1, end - (is_predicate_negated ? 2 : 1));
        rest = trimmed(rest.substr(end));
    }
    const size_t end = rest.find_first_of(BLANKS);
    operation = rest.substr(0, end);
    if (end != string::npos) operands = split_operands(rest.substr(end));
    words = split_at('.', operation);
}

bool Statement::has(const char* word) const { return std::find(words.begin(), words.end(), word) != words.end(); }

Type Statement::type(int before_last) const {
    const int index = (int)words.size() - 1 - before_last;
    return index > 0 ? type_of(words[index]) : Type();
}

const string& Statement::operand(size_t index) const {
    if (index >= operands.size()) refuse();
    return operands[index];
}

void Statement::allow(std::initializer_list<const char*> known) const {
    for (size_t i = 1; i < words.size(); ++i) {
        const auto is_it = [&](const char* word) { return words[i] == word; };
        const bool is_known = std::any_of(known.begin(), known.end(), is_it);
        if (!is_known && type_of(words[i]).kind == Kind::NONE) throw Unknown{"its `." + words[i] + "`"};
    }
}

void Statement::refuse() const { throw Unknown{"this form of `" + words[0] + "`"}; }
