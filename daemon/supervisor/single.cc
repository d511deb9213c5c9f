// A single server, started by itself: rank 0 of 1.
#include "daemon/supervisor/file_rendezvous.h"

namespace benchfs {
namespace {

class SingleRendezvous final : public FileRendezvous {
 public:
  using FileRendezvous::FileRendezvous;

  void connect(NodeRecord& own, const Patience&) override {
    own.rank = 0;
    own.size = 1;
  }
  std::string host_of(std::uint32_t) override { return {}; }
};

}  // namespace

std::unique_ptr<Rendezvous> make_single_rendezvous(Registry& registry) {
  return std::make_unique<SingleRendezvous>(registry);
}

}  // namespace benchfs
