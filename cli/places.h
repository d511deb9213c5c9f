// Where programs and libraries are: the parts of BenchFS relative to this program, the rest in
// PATH.
#pragma once

#include <string>

namespace benchfs::cli {

// Of this build or installation. Throw Failure if the file is not there.
std::string server_program();
std::string preload_library();

// The file that execvp would run for `name`. Throws Failure: not found, or not executable.
std::string find_command(const std::string& name);
// Empty: not found.
std::string find_in_path(const std::string& name);

}  // namespace benchfs::cli
