// Finds kernels, their parameters and a module's constants in PTX.
//
//   text ─ without comments ─► .target   .global … = {…} ─► memory   .shared   .entry name(parameters) limits { body }
#include "module.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "fault.hpp"
#include "memories.hpp"
#include "settings.hpp"
#include "statement.hpp"

// With every line where it was, so that lines can be named.
static string without_comments(const string& text) {
    string kept;
    kept.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
        const bool is_line = text.compare(i, 2, "//") == 0;
        const bool is_block = text.compare(i, 2, "/*") == 0;
        if (!is_line && !is_block) {
            kept += text[i++];
            continue;
        }
        const size_t end = is_line ? text.find('\n', i) : text.find("*/", i) + 2;
        for (; i < std::min(end, text.size()); ++i)
            if (text[i] == '\n') kept += '\n';
    }
    return kept;
}

static u64 rounded_up(u64 bytes, u64 to) { return (bytes + to - 1) / to * to; }

// What a declaration says: `.param .align 8 .b8 name[16]`, `.global .u32 name`.
struct Declaration {
    string name;
    Type type;
    u32 alignment;
    u64 count = 1;

    u64 bytes() const { return count * type.width; }
};

static Declaration read_declaration(const string& text) {
    Declaration read;
    const vector<string> words = split_words(text.substr(0, text.find('=')));
    read.alignment = 0;
    for (size_t i = 0; i < words.size(); ++i) {
        if (words[i] == ".align" && i + 1 < words.size()) read.alignment = std::atoi(words[i + 1].c_str());
        const Type type = words[i][0] == '.' ? type_of(words[i].substr(1)) : Type();
        if (type.kind != Kind::NONE) read.type = type;
    }
    const size_t bracket = words.back().find('[');
    read.name = words.back().substr(0, bracket);
    if (bracket != string::npos) read.count = std::strtoull(words.back().c_str() + bracket + 1, nullptr, 10);
    read.alignment = std::max<u32>(read.alignment, read.type.width);
    if (read.type.kind == Kind::NONE || !read.count) throw Unknown{"the declaration " + text};
    return read;
}

static void read_values(const string& text, const Declaration& declaration, u8* to) {
    const size_t equals = text.find('=');
    if (equals == string::npos) return;
    string values = trimmed(text.substr(equals + 1));
    if (values[0] == '{') values = values.substr(1, values.find('}') - 1);
    for (const string& value : split_operands(values)) {
        u64 bits;
        if (!read_literal(value, declaration.type.width, &bits)) throw Unknown{"the value " + value};
        std::memcpy(to, &bits, declaration.type.width);
        to += declaration.type.width;
    }
}

// One that cannot be read is left out: who names it faults.
static void add_constant(Module& module, const string& text) {
    try {
        const Declaration declaration = read_declaration(text);
        const u64 address = memories().take(declaration.bytes(), Owner::DEVICE);
        if (!address) stop("no memory is left for constants");
        std::memset((void*)address, 0, declaration.bytes());
        read_values(text, declaration, (u8*)address);
        module.constants[declaration.name] = {address, declaration.bytes()};
        module.names.constants[declaration.name] = address;
    } catch (const Unknown& unknown) {
        if (settings().is_verbose) say("not understood: %s", unknown.why.c_str());
    }
}

// Declarations outside of kernels stand at the begin of a line, some behind `.visible` and the like.
static void add_declarations(Module& module, const string& text) {
    for (size_t at = 0; (at = text.find(".global ", at)) != string::npos; ++at) {
        const bool is_of_an_instruction = at && !std::isspace((unsigned char)text[at - 1]);
        if (!is_of_an_instruction) add_constant(module, text.substr(at, text.find(';', at) - at));
    }
    for (size_t at = 0; (at = text.find("\n.shared ", at)) != string::npos; ++at)
        module.names.shared.push_back(trimmed(text.substr(at, text.find(';', at) - at)));
}

static void read_parameters(Kernel& kernel, const string& head) {
    for (size_t at = 0; (at = head.find(".param", at)) != string::npos; ++at) {
        const Declaration declaration = read_declaration(trimmed(head.substr(at, head.find_first_of(",)", at) - at)));
        const u32 place = rounded_up(kernel.parameters_bytes, declaration.alignment);
        kernel.parameters.push_back({declaration.name, place, (u32)declaration.bytes()});
        kernel.parameters_bytes = place + declaration.bytes();
    }
}

// .maxntid 16, 8
static void read_limits(Kernel& kernel, const string& head) {
    const string word = ".maxntid";
    const size_t at = head.find(word);
    if (at == string::npos) return;
    const string limits = head.substr(at + word.size(), head.find_first_of(".\n", at + 1) - at - word.size());
    kernel.most_threads = 1;
    for (const string& size : split_operands(limits)) kernel.most_threads *= std::atoi(size.c_str());
    kernel.has_declared_threads = true;
}

// Where the brace that opens at `first` is closed.
static size_t closing_brace(const string& text, size_t first) {
    int depth = 0;
    for (size_t at = first; at < text.size(); ++at) {
        if (text[at] == '{') ++depth;
        if (text[at] == '}' && --depth == 0) return at;
    }
    throw Unknown{"a kernel without an end"};
}

// `at`: behind `.entry`. Returns where the kernel ends.
static size_t add_kernel(Module& module, const string& text, size_t at, int line, int target) {
    auto kernel = std::make_unique<Kernel>();
    const size_t name_at = text.find_first_not_of(" \t", at);
    const size_t name_end = text.find_first_of("( \t\n", name_at);
    const size_t body = text.find('{', name_end);
    const size_t end = closing_brace(text, body);
    const string head = text.substr(name_end, body - name_end);
    kernel->name = text.substr(name_at, name_end - name_at);
    kernel->body = text.substr(body + 1, end - body - 1);
    kernel->first_line = line + std::count(text.begin() + at, text.begin() + body, '\n');
    kernel->target = target;
    kernel->module = &module.names;
    kernel->waits_for_previous = kernel->body.find("griddepcontrol.wait") != string::npos;
    read_parameters(*kernel, head);
    read_limits(*kernel, head);
    const string name = kernel->name;
    module.kernels[name] = std::move(kernel);
    return end;
}

Kernel* Module::kernel(const string& name) const {
    const auto found = kernels.find(name);
    return found == kernels.end() ? nullptr : found->second.get();
}

int target_of(const string& text) {
    const size_t at = text.find("sm_", text.find(".target"));
    return at == string::npos ? 0 : std::atoi(text.c_str() + at + 3);
}

Module* load_module(const string& commented) {
    const string text = without_comments(commented);
    Module* module = new Module;
    try {
        add_declarations(*module, text);
        const int target = target_of(text);
        int line = 1;
        size_t counted = 0;
        for (size_t at = 0; (at = text.find(".entry", at)) != string::npos;) {
            at += std::strlen(".entry");
            line += std::count(text.begin() + counted, text.begin() + at, '\n');
            counted = at;
            at = add_kernel(*module, text, at, line, target);
        }
    } catch (const Unknown& unknown) {
        stop("PTX that is not understood: %s", unknown.why.c_str());
    }
    return module;
}

string read_own_ptx() {
    if (!settings().ptx_path) stop("TSM_PTX names no file; scripts/without-gpu.sh sets it");
    const std::ifstream file(settings().ptx_path);
    if (!file) stop("%s, which TSM_PTX names, cannot be read", settings().ptx_path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}
