// What the environment asks of the interpreter, read once. README.md lists the variables.
#pragma once

struct Settings {
    bool checks_races;    // TSM_PTX_RACES=on
    bool is_reversed;     // TSM_PTX_REVERSE=on: warps and blocks run backwards
    bool is_verbose;      // TSM_PTX_VERBOSE=on: says what calls are refused, and why
    int threads;          // TSM_PTX_THREADS, of the host
    int multiprocessors;  // TSM_PTX_MULTIPROCESSORS, as the driver reports them
    const char* ptx_path;       // TSM_PTX, null where it is not set
    const char* launches_path;  // TSM_PTX_LAUNCHES, null where it is not set
    const char* costs_path;     // TSM_PTX_COSTS, null where it is not set
    const char* failures;       // TSM_PTX_FAIL, null where it is not set
};

const Settings& settings();
