#include "cli/environment.h"

#include <dlfcn.h>

#include "cli/failure.h"

#ifdef __SANITIZE_ADDRESS__
extern "C" void __asan_init();
#endif

namespace benchfs::cli {
namespace {

constexpr std::string_view preload = "LD_PRELOAD";
constexpr std::string_view separators = ": ";  // ld.so's

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Entries of LD_PRELOAD but for `library` in whatever directory: another build of it would fight
// with this one.
std::string other_entries(std::string_view list, std::string_view library) {
  std::string kept;
  while (!list.empty()) {
    const std::string_view entry = list.substr(0, list.find_first_of(separators));
    list.remove_prefix(entry.size() < list.size() ? entry.size() + 1 : entry.size());
    if (entry.empty() || file_name(entry) == file_name(library)) continue;
    if (!kept.empty()) kept += ':';
    kept += entry;
  }
  return kept;
}

// The sanitizer's runtime must be the first library of all in a process; it is not linked into the
// programs that are preloaded into.
std::string sanitizer_runtime() {
#ifdef __SANITIZE_ADDRESS__
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&__asan_init), &info) != 0 && info.dli_fname != nullptr)
    return info.dli_fname;
#endif
  return {};
}

}  // namespace

EnvironmentBlock::EnvironmentBlock(char** variables) {
  for (; variables != nullptr && *variables != nullptr; ++variables)
    variables_.emplace_back(*variables);
}

std::optional<std::string> EnvironmentBlock::get(std::string_view name) const {
  for (const std::string& variable : variables_)
    if (variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=')
      return variable.substr(name.size() + 1);
  return std::nullopt;
}

void EnvironmentBlock::set(std::string_view name, std::string_view value) {
  unset(name);
  variables_.push_back(std::string(name) + "=" + std::string(value));
}

void EnvironmentBlock::set_default(std::string_view name, std::string_view value) {
  if (!get(name)) set(name, value);
}

void EnvironmentBlock::unset(std::string_view name) {
  std::erase_if(variables_, [&](const std::string& variable) {
    return variable.size() > name.size() && variable.starts_with(name) &&
           variable[name.size()] == '=';
  });
}

void EnvironmentBlock::unset_all(std::string_view prefix) {
  std::erase_if(variables_,
                [&](const std::string& variable) { return variable.starts_with(prefix); });
}

std::vector<char*> EnvironmentBlock::pointers() {
  std::vector<char*> pointers;
  for (std::string& variable : variables_) pointers.push_back(variable.data());
  pointers.push_back(nullptr);
  return pointers;
}

void add_view(EnvironmentBlock& environment, const View& view) {
  if (view.library.find_first_of(separators) != std::string::npos)
    throw Failure(exit_code::no_servers, "LD_PRELOAD cannot hold a path with spaces or colons: " +
                                             view.library + ": install BenchFS elsewhere");
  std::string list = view.library;
  std::string others = other_entries(environment.get(preload).value_or(""), view.library);
  if (const std::string runtime = sanitizer_runtime(); !runtime.empty()) {
    others = other_entries(others, runtime);
    list = runtime + ":" + list;
  }
  if (!others.empty()) list += ":" + others;
  environment.set(preload, list);
  environment.set("BENCHFS_MOUNT", view.mount_point);
  environment.set("BENCHFS_LOCAL", view.local_dir);
  environment.set("BENCHFS_REGISTRY", view.registry);
  if (view.read_only)
    environment.set("BENCHFS_READ_ONLY", "1");
  else
    environment.unset("BENCHFS_READ_ONLY");
}

void remove_view(EnvironmentBlock& environment, std::string_view library) {
  if (const auto list = environment.get(preload)) {
    const std::string others = other_entries(*list, library);
    if (others.empty())
      environment.unset(preload);
    else
      environment.set(preload, others);
  }
  for (const char* const name :
       {"BENCHFS_MOUNT", "BENCHFS_LOCAL", "BENCHFS_REGISTRY", "BENCHFS_READ_ONLY"})
    environment.unset(name);
}

}  // namespace benchfs::cli
