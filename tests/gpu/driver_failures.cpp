// Reads TSM_PTX_FAIL, and counts the calls that it names.
#include "driver_failures.hpp"

#include <climits>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "fault.hpp"
#include "settings.hpp"

struct Failure {
    std::string call;
    int first, last;
    int calls = 0, failed = 0;
};

struct Failures {
    std::vector<Failure> all;

    Failures() {
        std::stringstream wish(settings().failures ? settings().failures : "");
        for (std::string one; std::getline(wish, one, ',');) all.push_back(parsed(one));
    }

    ~Failures() {
        for (const Failure& one : all) say("%d of %d calls of %s failed", one.failed, one.calls, one.call.c_str());
    }

    static Failure parsed(const std::string& text) {
        const size_t colon = text.find(':');
        if (colon == std::string::npos) return Failure{text, 1, INT_MAX};
        char* end = nullptr;
        const int first = (int)std::strtol(text.c_str() + colon + 1, &end, 10);
        const bool goes_on = *end == '+';
        if (first < 1 || end[goes_on] != 0) stop("TSM_PTX_FAIL: %s is not like cuMemAlloc_v2:3+", text.c_str());
        return Failure{text.substr(0, colon), first, goes_on ? INT_MAX : first};
    }
};

CUresult let_fail(const char* who) {
    static Failures failures;
    for (Failure& one : failures.all) {
        if (one.call != who || ++one.calls < one.first || one.calls > one.last) continue;
        ++one.failed;
        const bool takes_memory = one.call.find("Alloc") != std::string::npos;
        return takes_memory ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_UNKNOWN;
    }
    return CUDA_SUCCESS;
}
