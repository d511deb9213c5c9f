// after_exec <local_dir> <fd>: what an exec'd program knows of what it inherited. The exit code is
// the number of the check that failed, 0 if none did.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "client-preload/fs/file_system.h"

int main(int argc, char** argv) {
  using namespace benchfs;
  if (argc != 3) return 1;
  const auto fs = FileSystem::make({.mount_point = "/benchfs", .local_dir = argv[1]});
  const int fd = std::atoi(argv[2]);
  const auto file = fs->find(fd);
  if (file == nullptr) return 2;
  const auto offset = file->seek(0, SEEK_CUR);
  if (!offset.ok() || *offset != 6) return 3;
  if (!file->write(std::as_bytes(std::span("exec", 4))).ok()) return 4;
  if (!fs->working_directory_is_ours()) return 5;
  const auto directory = fs->working_directory();
  if (!directory.ok() || *directory != "/benchfs") return 6;
  const auto path = fs->locate(AT_FDCWD, "inherited");
  if (!path || !fs->stat(*path, true).ok()) return 7;
  if (fs->our_descriptors() != std::vector<int>{fd}) return 8;
  return 0;
}
