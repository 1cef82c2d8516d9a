// How often each kernel was launched, and how long the interpreter took for it (which says nothing of a GPU).
#pragma once

#include <string>

// Written to TSM_PTX_LAUNCHES when the process ends.
void count_launch(const std::string& kernel, double seconds);
