// Failure: why the command cannot do what it was asked, as one line for the user and the exit code.
//
// The command is all start-up: it throws this where it cannot go on, and main prints it.
#pragma once

#include <stdexcept>
#include <string>

namespace benchfs::cli {

// benchfs(1) lists them. `run` and `exec` otherwise end with COMMAND's own.
namespace exit_code {
inline constexpr int no_answer = 1;  // status, stop: a rank or all of them did not answer
inline constexpr int damage = 1;     // fsck
inline constexpr int usage = 2;
inline constexpr int not_quiet = 3;     // fsck
inline constexpr int no_servers = 125;  // they did not start, or are not there
inline constexpr int not_executable = 126;
inline constexpr int not_found = 127;
inline constexpr int killed = 128;  // plus the signal's number
}  // namespace exit_code

class Failure : public std::runtime_error {
 public:
  Failure(int code, const std::string& line) : std::runtime_error(line), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

}  // namespace benchfs::cli
