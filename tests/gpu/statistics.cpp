// Counts launches and appends a line a kernel to the file that TSM_PTX_LAUNCHES names.
#include "statistics.hpp"

#include <cstdio>
#include <map>
#include <mutex>

#include "fault.hpp"
#include "settings.hpp"

struct Count {
    unsigned long long launches = 0;
    double seconds = 0;
};

struct Counts {
    std::mutex lock;
    std::map<std::string, Count> of_kernels;

    ~Counts() {
        if (!settings().launches_path || of_kernels.empty()) return;
        std::FILE* file = std::fopen(settings().launches_path, "a");
        if (!file) {
            say("%s cannot be written", settings().launches_path);
            return;
        }
        for (const auto& [name, count] : of_kernels)
            std::fprintf(file, "%8llu launches %9.3f s  %s\n", count.launches, count.seconds, name.c_str());
        std::fclose(file);
    }
};

static Counts counts;

void count_launch(const std::string& kernel, double seconds) {
    const std::lock_guard<std::mutex> guard(counts.lock);
    Count& count = counts.of_kernels[kernel];
    ++count.launches;
    count.seconds += seconds;
}
