// OpenFile: one slot of the host's open-file table, as this process sees it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "client-preload/fs/chunk_io.h"
#include "client-preload/fs/file.h"
#include "client-preload/fs/write_bracket.h"
#include "common/host_table.h"
#include "common/wire.h"

namespace benchfs {

struct Core;

class OpenFile final : public File {
 public:
  explicit OpenFile(Core& core) : core_(core) {}

  std::uint64_t inode() const override { return chunks_.inode; }
  bool is_directory() const override { return entry_ == 0; }
  std::uint32_t slot_index() const { return slot_; }
  int flags() const override;
  Status set_flags(int flags) override;

  Result<std::size_t> read(std::span<std::byte> out) override;
  Result<std::size_t> write(std::span<const std::byte> data) override;
  Result<std::size_t> read_at(std::span<std::byte> out, off_t offset) override;
  Result<std::size_t> write_at(std::span<const std::byte> data, off_t offset) override;
  Result<std::size_t> read_pieces(std::span<const std::span<std::byte>> pieces,
                                  const off_t* offset) override;
  Result<std::size_t> write_pieces(std::span<const std::span<const std::byte>> pieces,
                                   const off_t* offset) override;
  Result<off_t> seek(off_t offset, int whence) override;

  Result<struct stat> stat() override;
  Status truncate(off_t size) override;
  Status allocate(int mode, off_t offset, off_t length) override;
  Status sync(bool data_only) override;
  Status change_mode(mode_t mode) override;
  Status change_owner(uid_t uid, gid_t gid) override;
  Status set_times(const struct timespec times[2]) override;

  Status lock_whole(int operation) override;
  Status lock_range(int command, struct flock& range) override;
  // Before a descriptor of this process goes: its locks of the file, and, with the last use, those
  // of the open file description. What others close at the same moment the leader finds.
  void give_up_locks(bool last_use);

  Result<std::vector<DirectoryEntry>> list(std::uint64_t cookie) override;

 private:
  friend class DescriptorTable;
  using Readable = std::span<const std::span<std::byte>>;
  using Writable = std::span<const std::span<const std::byte>>;
  struct Moved {
    std::size_t bytes;
    std::uint64_t end;  // where the next transfer of this description goes on
  };

  // Becomes the file of a slot whose open was answered.
  void become(std::uint32_t slot, std::uint64_t position);

  OpenSlot& slot() const;
  SizeEntry& entry() const;
  std::uint32_t status_flags() const;
  Status may_read() const;
  Status may_write() const;

  // file_data.cc
  template <class Transfer>
  Result<std::size_t> at_shared_offset(std::uint64_t planned, Transfer transfer);
  Result<std::size_t> read_range(Readable pieces, std::uint64_t offset);
  Result<Moved> write_range(Writable pieces, std::uint64_t offset);
  Result<Moved> append(Writable pieces);
  Result<Moved> write_inside(const WriteBracket& bracket, Writable pieces, std::uint64_t offset);
  std::uint64_t stamp(std::uint32_t generation) const {
    return std::uint64_t{entry_} << 32 | generation;
  }
  // file_content.cc
  // Whether a write up to `end`, inside a bracket, goes to chunks. needs_chunks: yes, but the home
  // must move there first what is in a cell, once the bracket has been left (move_to_chunks).
  Result<bool> lies_in_chunks(std::uint64_t end);
  // None: no cell was free, and the bytes go to chunks.
  std::optional<Result<std::size_t>> write_content(Writable pieces, std::uint64_t offset);
  Result<std::size_t> fill_content(Stored cell, Writable pieces, std::uint64_t offset);
  Result<std::size_t> put_content(Stored cell, Writable pieces, std::uint64_t offset);
  Result<std::size_t> put_content(Stored cell, std::span<const std::byte> data,
                                  std::uint64_t offset);
  Status read_content(Stored stored, std::span<std::byte> out, std::uint64_t offset);
  Status move_to_chunks();
  static constexpr Error needs_chunks{3998};  // stays in here; no kernel call returns it

  void published(std::uint64_t begin, std::uint64_t end);
  void note_read();
  Status take_privileges();
  void touched_chunks(std::uint64_t end);
  Status sync_chunks();

  // locks.cc
  wire::Lock lock_message(wire::LockSpace space, wire::LockOwnerKind owner) const;
  Status set_lock(const wire::Lock& message);
  void give_up_locks(const wire::Lock& message, std::uint64_t owner);

  // file_size.cc
  std::uint64_t known_size() const;
  // At least what is needed to say what lies below `end`.
  Result<std::uint64_t> size_for(std::uint64_t end);
  Result<std::uint64_t> ask_size();

  Core& core_;
  std::uint32_t slot_ = 0;
  std::uint32_t entry_ = 0;  // of the size table; 0: a directory
  std::uint64_t position_ = 0;
  ChunkFile chunks_;
  std::atomic<std::uint64_t> chunks_touched_{0};  // those below it may be in the chunk cache
  std::atomic<std::uint64_t> listing_end_{0};     // cookie after which the last listing ended
  int uses_ = 0;                    // descriptors and the working directory (the table's lock)
  std::shared_ptr<OpenFile> self_;  // its count says whether a look-up still has the file
};

}  // namespace benchfs
