#include "client-preload/fs/mount.h"

#include <charconv>
#include <cstring>

#include "client-preload/fs/byte_pairs.h"
#include "common/fd.h"

namespace benchfs {
namespace {

std::string_view next_component(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
  const std::string_view component = rest.substr(0, rest.find('/'));
  rest.remove_prefix(component.size());
  return component;
}

void go_to(std::string& path, std::string_view component) {
  if (component == ".") return;
  if (component == "..") {
    if (!path.empty()) path.resize(path.rfind('/'));
    return;
  }
  path.append("/").append(component);
}

std::string_view without_slashes(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of('/'), text.size()));
  return text;
}

// Where a directory really is; empty when it cannot be said.
std::string real_path(int directory, const std::string& name) {
  const Fd fd(sys::openat(directory, name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return {};
  char link[40] = "/proc/self/fd/";
  *std::to_chars(link + 14, link + sizeof link - 1, fd.get()).ptr = '\0';
  char target[4096];
  const long n =
      sys::call(SYS_readlinkat, AT_FDCWD, sys::pointer(link), sys::pointer(target), sizeof target);
  return n > 0 ? std::string(target, static_cast<std::size_t>(n)) : std::string();
}

}  // namespace

Mount::Mount(std::string_view mount_point) {
  if (!mount_point.starts_with('/')) return;
  for (std::string_view rest = mount_point; !rest.empty();) {
    const std::string_view component = next_component(rest);
    if (!component.empty()) go_to(path_, component);
  }
  if (path_.empty()) return;
  parent_ = path_.substr(0, path_.rfind('/'));
  if (parent_.empty()) parent_.assign(1, '/');
}

std::optional<std::string_view> Mount::below(const char* name) const {
  if (name[0] != '/' || name[1] != path_[1]) return {};  // most names
  if (std::strncmp(name, path_.c_str(), path_.size()) != 0) return {};
  const char* const rest = name + path_.size();
  if (*rest != '\0' && *rest != '/') return {};
  return without_slashes(rest);
}

// An absolute name enters otherwise than by its spelling only by "..", "." or repeated slashes, and
// every one by the mount point's last component.
bool Mount::may_enter(const char* name) const {
  const std::string_view text = name;
  if (*name == '/' && !has_pair(text, '/', '.', '/')) return false;
  const char* const base = base_name();
  if (!has_pair(text, base[0], base[1], base[1]) && base[1] != '\0') return false;
  return std::strstr(name, base) != nullptr;
}

std::optional<std::string_view> Mount::below(int directory, std::string_view base,
                                             const char* name) const {
  const std::string_view whole = name;
  std::string here(whole.starts_with('/') || base == "/" ? "" : base);
  bool climbed = false;
  for (std::string_view rest = whole;;) {
    const std::string_view component = next_component(rest);
    if (component.empty()) return {};
    climbed |= component == "..";
    go_to(here, component);
    if (here != path_) continue;
    const auto prefix = whole.substr(0, static_cast<std::size_t>(component.data() - name));
    if (climbed && !leads_to_parent(directory, prefix)) return {};
    return without_slashes(rest);
  }
}

// `prefix` is the name up to the component that would be the mount point.
bool Mount::leads_to_parent(int directory, std::string_view prefix) const {
  const std::string real = real_path(directory, prefix.empty() ? "." : std::string(prefix));
  return !real.empty() && (real == parent_ || real == real_path(AT_FDCWD, parent_));
}

}  // namespace benchfs
