// Replay: puts back into a server what the journal says, before it serves.
#pragma once

#include <span>

#include "daemon/journal/record.h"
#include "daemon/rpc/server.h"

namespace benchfs {

class Replay final : public RecordSink {
 public:
  explicit Replay(Server& server) : server_(server) {}
  bool take(RecordType type, std::span<const std::byte> body) override;

 private:
  bool take_blob(RecordType type, std::span<const std::byte> body);

  Server& server_;
};

}  // namespace benchfs
