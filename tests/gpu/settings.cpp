// Reads the environment.
#include "settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>

static bool is_on(const char* name) {
    const char* value = std::getenv(name);
    return value && std::string(value) == "on";
}

static int number(const char* name, int otherwise) {
    const char* value = std::getenv(name);
    return value ? std::max(1, std::atoi(value)) : otherwise;
}

static Settings read_environment() {
    Settings read;
    read.checks_races = is_on("TSM_PTX_RACES");
    read.is_reversed = is_on("TSM_PTX_REVERSE");
    read.is_verbose = is_on("TSM_PTX_VERBOSE");
    read.threads = number("TSM_PTX_THREADS", std::max(1u, std::thread::hardware_concurrency()));
    read.multiprocessors = number("TSM_PTX_MULTIPROCESSORS", 132);  // an H200's
    read.ptx_path = std::getenv("TSM_PTX");
    read.launches_path = std::getenv("TSM_PTX_LAUNCHES");
    read.costs_path = std::getenv("TSM_PTX_COSTS");
    read.failures = std::getenv("TSM_PTX_FAIL");
    return read;
}

const Settings& settings() {
    static const Settings once = read_environment();
    return once;
}
