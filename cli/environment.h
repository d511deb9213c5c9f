// The environment of a process to be started: this one's, changed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace benchfs::cli {

class EnvironmentBlock {
 public:
  explicit EnvironmentBlock(char** variables);

  std::optional<std::string> get(std::string_view name) const;
  void set(std::string_view name, std::string_view value);
  void set_default(std::string_view name, std::string_view value);
  void unset(std::string_view name);
  void unset_all(std::string_view prefix);  // every variable whose name begins so

  // Points into this: valid until it changes.
  std::vector<char*> pointers();

 private:
  std::vector<std::string> variables_;
};

// What a process that uses the mount needs. The library comes first in LD_PRELOAD, and once.
struct View {
  std::string library;
  std::string mount_point;
  std::string local_dir;
  std::string registry;
  bool read_only = false;
};
void add_view(EnvironmentBlock& environment, const View& view);
// The opposite, for servers started from within such a process.
void remove_view(EnvironmentBlock& environment, std::string_view library);

}  // namespace benchfs::cli
