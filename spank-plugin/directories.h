// Making and removing the directories of a job, without being led astray by what else may be there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "common/result.h"

namespace benchfs::spank {

// As the user: makes `path` with mode 0700. What is there already must be a directory of this user
// that nobody else can enter: else EPERM.
Status make_private_directory(const std::string& path);

// As root: makes <base>/<name>, 0700 of uid:gid, and <base>, 0755 of root, if it is not there.
// Empty, or a line that says what is wrong. Refuses a base that anybody but root can change or
// replace. `root` is another user's only in tests.
std::string make_job_directory(const std::string& base, const std::string& name, uid_t uid,
                               gid_t gid, uid_t root = 0);

// The owner of <base>/<name>, a directory, not a link to one.
Result<uid_t> directory_owner(const std::string& base, const std::string& name);

// Removes what is in `path`; follows no symbolic link and enters no other filesystem. Call it as
// the owner of the contents.
Status clear_directory(const std::string& path);

// As root: runs `work` in a child that has become uid:gid and has no other groups, and waits for it
// at most `timeout_s` seconds; then it is killed: ETIMEDOUT. EIO when `work` returned false.
Status run_as_user(uid_t uid, gid_t gid, std::uint32_t timeout_s,
                   const std::function<bool()>& work);

}  // namespace benchfs::spank
