#include "daemon/metadata/xattrs.h"

#include <sys/xattr.h>

#include "common/wire.h"

namespace benchfs {

const std::string* Xattrs::find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

Status Xattrs::set(std::string_view name, std::string_view value, std::uint32_t flags) {
  const auto found = values_.find(name);
  const bool exists = found != values_.end();
  if (exists && (flags & XATTR_CREATE) != 0) return Error(EEXIST);
  if (!exists && (flags & XATTR_REPLACE) != 0) return Error(ENODATA);
  const std::size_t names = name_bytes_ + (exists ? 0 : name.size() + 1);
  const std::size_t values = value_bytes_ - (exists ? found->second.size() : 0) + value.size();
  if (names > wire::xattr_bytes_max || names + values > bytes_max) return Error(ENOSPC);
  if (exists) {
    found->second = value;
  } else {
    values_.emplace(name, value);
  }
  name_bytes_ = names;
  value_bytes_ = values;
  return Done{};
}

Status Xattrs::remove(std::string_view name) {
  const auto found = values_.find(name);
  if (found == values_.end()) return Error(ENODATA);
  name_bytes_ -= name.size() + 1;
  value_bytes_ -= found->second.size();
  values_.erase(found);
  return Done{};
}

std::string Xattrs::list() const {
  std::string names;
  names.reserve(name_bytes_);
  for (const auto& [name, value] : values_) names.append(name).append(1, '\0');
  return names;
}

}  // namespace benchfs
