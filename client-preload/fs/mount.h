// Mount: the mount point as text, and which absolute names lie below it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace benchfs {

class Mount {
 public:
  explicit Mount(std::string_view mount_point);

  bool valid() const { return !path_.empty(); }  // absolute, and not the root
  const std::string& path() const { return path_; }
  const std::string& parent() const { return parent_; }
  const char* base_name() const {
    return path_.c_str() + parent_.size() + (parent_ != "/" ? 1 : 0);
  }

  // What follows the mount point in `name`, if `name` begins with it as whole components.
  std::optional<std::string_view> below(const char* name) const;
  // As above for a name with ".", ".." or repeated slashes before the mount point, or relative to
  // `base`, the absolute path of an existing directory outside (open as `directory`, or AT_FDCWD).
  // Looks at the real directories when ".." is involved, as there may be symlinks.
  std::optional<std::string_view> below(int directory, std::string_view base,
                                        const char* name) const;
  // Cheap: false when a name so spelled, and not below(), cannot lead into the mount.
  bool may_enter(const char* name) const;

 private:
  bool leads_to_parent(int directory, std::string_view prefix) const;

  std::string path_;    // without trailing or repeated slashes; empty: invalid
  std::string parent_;  // of the mount point
};

}  // namespace benchfs
