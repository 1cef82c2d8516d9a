// Goes through a kernel's text, statement by statement.
#include "parser.hpp"

#include <cctype>

#include "block.hpp"
#include "fault.hpp"
#include "instructions.hpp"

void parse_kernel(Kernel& kernel) {
    Parser parser(kernel);
    parser.run();
}

static void fault_as_unknown(Warp& warp, const Instruction& it, u32 lanes) {
    fault(warp, it, lowest_lane(lanes), "not known to the interpreter", 0);
}

void Parser::run() {
    line = kernel.first_line;
    lay_out_special_registers();
    for (const string& declaration : kernel.module->shared) {
        const string name = split_at('[', split_words(declaration).back())[0];
        if (kernel.body.find(name) != string::npos) declare_memory(declaration);
    }
    for (skip_blanks(); at < kernel.body.size(); skip_blanks()) {
        const char c = kernel.body[at];
        if (c == '{') scopes.emplace_back();
        if (c == '}' && scopes.size() > 1) scopes.pop_back();
        if (c == '{' || c == '}') {
            ++at;
            continue;
        }
        const int first_line = line;
        bool is_label = false;
        const string text = next_statement(&is_label);
        const int next_line = line;
        line = first_line;
        if (is_label)
            labels[text] = kernel.code.size();
        else if (!text.empty())
            parse(text);
        line = next_line;
    }
    Instruction end;
    end.flow = Flow::END;
    end.line = line;
    kernel.code.push_back(end);
    kernel.texts.push_back("the kernel's end");
    resolve_jumps();
    kernel.first_registers.assign((registers_bytes + 63) & ~63ull, 0);
    for (const auto& [place, bytes] : constants)
        std::memcpy(&kernel.first_registers[place], bytes.data(), bytes.size());
}

void Parser::skip_blanks() {
    for (; at < kernel.body.size() && std::isspace((unsigned char)kernel.body[at]); ++at)
        if (kernel.body[at] == '\n') ++line;
}

// Up to its semicolon, or a label's colon; `.loc` ends with its line.
string Parser::next_statement(bool* is_label) {
    const string& body = kernel.body;
    const size_t first = at;
    const bool is_loc = body.compare(first, 4, ".loc") == 0;
    int depth = 0;
    for (; at < body.size(); ++at) {
        const char c = body[at];
        if (c == '{' || c == '[' || c == '(') ++depth;
        if (c == '}' || c == ']' || c == ')') --depth;
        if (c == '\n' && is_loc) break;
        if (c == '\n') ++line;
        if (c == ';' && depth == 0) break;
        *is_label = c == ':' && depth == 0 && body.find_first_of(" \t\n", first) >= at;
        if (*is_label) break;
    }
    const string text = trimmed(body.substr(first, at - first));
    if (!is_loc) ++at;
    return text;
}

void Parser::parse(const string& text) {
    try {
        if (text[0] == '.')
            declare(text);
        else
            add_instruction(text);
    } catch (const Unknown& unknown) {
        add_unknown(text, unknown.why);
    }
}

// What is not known faults when it is come by, and not before: a module holds many kernels that nobody launches.
void Parser::add_unknown(const string& text, const string& why) {
    Instruction made;
    made.line = line;
    made.action = fault_as_unknown;
    kernel.code.push_back(made);
    kernel.texts.push_back(text + "   (" + why + ")");
}

void Parser::add_instruction(const string& text) {
    const Statement statement(text, line);
    Instruction made;
    made.line = line;
    if (!statement.predicate.empty()) made.predicate = operand(statement.predicate, 1);
    made.is_predicate_negated = statement.is_predicate_negated;
    made.unit = unit_of(statement);
    make_instruction(*this, statement, &made);
    if (!made.action && made.flow == Flow::NEXT) statement.refuse();
    kernel.code.push_back(made);
    kernel.texts.push_back(text);
}

void Parser::declare(const string& text) {
    const string first = split_words(text)[0];
    const string reg = ".reg";
    if (first.compare(0, reg.size() + 1, reg + ".") == 0)  // as inline assembly has it: .reg.b16 a;
        return declare_registers(reg + " " + text.substr(reg.size()));
    if (first == reg) return declare_registers(text);
    if (first == ".shared" || first == ".local") return declare_memory(text);
    if (first == ".param" || first == ".pragma" || first == ".loc" || first == ".file") return;
    throw Unknown{"this declaration"};
}

// .reg .b32 %r<10>;   .reg .f16 low, high;
void Parser::declare_registers(const string& text) {
    const string type_word = split_words(text).at(1);
    const Type type = type_of(type_word.substr(1));
    if (type.kind == Kind::NONE) throw Unknown{"this type of register"};
    for (const string& name : split_operands(text.substr(text.find(type_word) + type_word.size()))) {
        const size_t bracket = name.find('<');
        if (bracket == string::npos) {
            scopes.back()[name] = {NO_PLACE, type.width};
            continue;
        }
        const string stem = name.substr(0, bracket);
        const int count = std::atoi(name.c_str() + bracket + 1);
        for (int i = 0; i < count; ++i) scopes.back()[stem + std::to_string(i)] = {NO_PLACE, type.width};
    }
}

// .shared .align 32 .b8 name[1024];
void Parser::declare_memory(const string& text) {
    const vector<string> words = split_words(text);
    const bool has_alignment = words.at(1) == ".align";
    const string type_word = words.at(has_alignment ? 3 : 1);
    const string name = words.at(has_alignment ? 4 : 2);
    const Type type = type_of(type_word.substr(1));
    if (type.kind == Kind::NONE) throw Unknown{"this type of memory"};
    const u32 alignment = has_alignment ? std::atoi(words[2].c_str()) : type.width;
    u32 bytes = type.width;
    for (size_t i = name.find('['); i != string::npos; i = name.find('[', i + 1))
        bytes *= std::atoi(name.c_str() + i + 1);
    u32& end = words[0] == ".shared" ? kernel.shared_bytes : kernel.local_bytes;
    end = (end + alignment - 1) / alignment * alignment;
    symbols[split_at('[', name)[0]] = end;
    end += bytes;
}

void Parser::resolve_jumps() {
    for (const auto& [from, label] : jumps) {
        const auto found = labels.find(label);
        if (found != labels.end()) {
            kernel.code[from].target = found->second;
            continue;
        }
        kernel.code[from].flow = Flow::NEXT;
        kernel.code[from].action = fault_as_unknown;
    }
}
