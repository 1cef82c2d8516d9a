// A module: the kernels of a PTX text, and its constants in memory.
#pragma once
#include <memory>

#include "kernel.hpp"

struct Constant {
    u64 address;
    size_t bytes;
};

struct Module {
    std::map<string, std::unique_ptr<Kernel>> kernels;
    std::map<string, Constant> constants;
    ModuleNames names;

    // Null where there is none.
    Kernel* kernel(const string& name) const;
};

// Kernels' bodies are left as they are until they are launched. Never let go of: launches may still be queued.
Module* load_module(const string& text);
// The compute capability that a PTX text was compiled for, 90 say; 0 if it does not tell.
int target_of(const string& text);
// The text of the file that TSM_PTX names.
string read_own_ptx();
