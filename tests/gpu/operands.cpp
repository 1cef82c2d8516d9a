// What operands of instructions mean: registers, special registers, constants, names of memory, addresses.
//
//   a warp's registers   tid.x … lane │ registers, in order of their first use │ constants, 32 times each
#include "block.hpp"
#include "parser.hpp"

int Parser::new_place(int width) {
    registers_bytes = (registers_bytes + 63) & ~63ull;  // whole vectors of the host
    const int place = registers_bytes;
    registers_bytes += (size_t)width * 32;
    return place;
}

int Parser::constant(u64 value, int width) {
    const int place = new_place(width);
    vector<u8> bytes(width * 32);
    for (int lane = 0; lane < 32; ++lane) std::memcpy(&bytes[lane * width], &value, width);
    constants.push_back({place, bytes});
    return place;
}

void Parser::lay_out_special_registers() {
    SpecialRegisters& special = kernel.special;
    for (int axis = 0; axis < 3; ++axis) {
        special.thread[axis] = new_place(4);
        special.block_size[axis] = new_place(4);
        special.block[axis] = new_place(4);
        special.grid_size[axis] = new_place(4);
    }
    special.lane = new_place(4);
}

const int* Parser::special(const string& name) const {
    const SpecialRegisters& special = kernel.special;
    if (name == "%laneid") return &special.lane;
    const vector<string> words = split_at('.', name);
    if (words.size() != 2 || words[1].size() != 1 || words[1][0] < 'x' || words[1][0] > 'z') return nullptr;
    const int axis = words[1][0] - 'x';
    if (words[0] == "%tid") return &special.thread[axis];
    if (words[0] == "%ntid") return &special.block_size[axis];
    if (words[0] == "%ctaid") return &special.block[axis];
    if (words[0] == "%nctaid") return &special.grid_size[axis];
    return nullptr;
}

// A register gets its place at its first use: of those that are declared, many are never named.
Parser::Register* Parser::known(const string& name) {
    for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
        const auto found = scope->find(name);
        if (found == scope->end()) continue;
        if (found->second.place == NO_PLACE) found->second.place = new_place(found->second.width);
        return &found->second;
    }
    return nullptr;
}

bool Parser::symbol(const string& name, u64* value) const {
    if (name == "WARP_SZ") {
        *value = 32;
        return true;
    }
    if (const auto found = symbols.find(name); found != symbols.end()) {
        *value = found->second;
        return true;
    }
    for (const Parameter& parameter : kernel.parameters) {
        if (parameter.name != name) continue;
        *value = parameter.at;
        return true;
    }
    const auto found = kernel.module->constants.find(name);
    if (found == kernel.module->constants.end()) return false;
    *value = found->second;
    return true;
}

int Parser::operand_of_any_width(const string& text, int* width) {
    if (const Register* found = known(text)) {
        *width = found->width;
        return found->place;
    }
    if (const int* place = special(text)) {
        *width = 4;
        return *place;
    }
    u64 value;
    if (read_literal(text, *width, &value) || symbol(text, &value)) return constant(value, *width);
    throw Unknown{"its operand " + text};
}

int Parser::operand(const string& text, int width) {
    int found_width = width;
    const int place = operand_of_any_width(text, &found_width);
    if (found_width != width) throw Unknown{"its operand " + text + " of another width"};
    return place;
}

vector<int> Parser::vector_of_any_width(const string& text, int* width) {
    if (text[0] != '{') return {operand_of_any_width(text, width)};
    vector<int> places;
    int first_width = 0;
    for (const string& element : split_operands(text.substr(1, text.size() - 2))) {
        if (element == "_") {
            places.push_back(NO_PLACE);
            continue;
        }
        int own_width = *width;
        places.push_back(operand_of_any_width(element, &own_width));
        if (first_width && own_width != first_width) throw Unknown{"a vector of several widths"};
        first_width = own_width;
    }
    if (first_width) *width = first_width;
    return places;
}

vector<int> Parser::vector_of(const string& text, int width) {
    int found_width = width;
    vector<int> places = vector_of_any_width(text, &found_width);
    if (found_width != width) throw Unknown{"a vector of another width"};
    return places;
}

Address Parser::address(const string& text) {
    if (text.size() < 3 || text[0] != '[') throw Unknown{"its address " + text};
    const string inner = trimmed(text.substr(1, text.size() - 2));
    const size_t plus = inner.find('+');
    const string base = trimmed(inner.substr(0, plus));
    Address found;
    u64 offset = 0;
    if (plus != string::npos && !read_literal(trimmed(inner.substr(plus + 1)), 8, &offset))
        throw Unknown{"its address " + text};
    found.offset = offset;
    u64 value;
    if (const Register* base_register = known(base)) {
        if (base_register->width < 4) throw Unknown{"its address " + text};
        found.base = base_register->place;
        found.base_width = base_register->width;
    } else if (read_literal(base, 8, &value) || symbol(base, &value)) {
        found.offset += value;
    } else {
        throw Unknown{"its address " + text};
    }
    return found;
}

void Parser::predicates(const string& text, int width, Instruction* made) {
    const vector<string> both = split_at('|', text);
    made->to = operand(trimmed(both[0]), width);
    if (both.size() > 1) made->second_to = operand(trimmed(both[1]), 1);
}
