// Rank, size and the exchange by PMIx, which mpirun and srun --mpi=pmix bring.
//
// Everything that waits for other ranks goes by the forms with a callback and our own deadline:
// Slurm's fence was seen to hang for good when a rank left early. The callbacks run in PMIx's
// thread, perhaps after we have given up, so what they touch is theirs too.
#include <pmix.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>

#include "common/sys.h"
#include "daemon/supervisor/file_rendezvous.h"
#include "registry/bytes.h"
#include "registry/host_id.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

constexpr const char* record_key = "benchfs.node";
constexpr const char* secret_key = "benchfs.secret";
constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t word_patience_ns = 1000 * ms;
constexpr std::int64_t look_around_ns = 20 * ms;
// From then on ranks that wait leave their record in the registry, so that a time-out can name the
// others. A start without trouble is over by then and has written nothing twice.
constexpr std::int64_t mark_after_ns = 2000 * ms;

StartFailure failed(const char* call, pmix_status_t status) {
  return StartFailure(exit_code::other, std::string(call) +
                                            " failed: " + PMIx_Error_string(status) +
                                            ": start with mpirun or srun --mpi=pmix, or set "
                                            "node.bootstrap to slurm or mpi");
}

// One call under way.
struct Pending {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  pmix_status_t status = PMIX_SUCCESS;
  std::vector<std::byte> bytes;  // of a byte object
  std::string text;
  std::uint32_t number = 0;
  // What PMIx may look at until it has called back.
  pmix_proc_t process{};
  pmix_info_t info{};
  bool flag = true;

  void finish(pmix_status_t result) {
    {
      const std::lock_guard guard(mutex);
      status = result;
      done = true;
    }
    changed.notify_all();
  }
};
using PendingRef = std::shared_ptr<Pending>;

PendingRef take(void* data) {
  const std::unique_ptr<PendingRef> own(static_cast<PendingRef*>(data));
  return *own;
}

void on_fence(pmix_status_t status, void* data) { take(data)->finish(status); }

void on_value(pmix_status_t status, pmix_value_t* value, void* data) {
  const PendingRef pending = take(data);
  if (status == PMIX_SUCCESS && value != nullptr) {
    const std::lock_guard guard(pending->mutex);
    switch (value->type) {
      case PMIX_BYTE_OBJECT: {
        const auto* const first = reinterpret_cast<const std::byte*>(value->data.bo.bytes);
        if (first != nullptr) pending->bytes.assign(first, first + value->data.bo.size);
        break;
      }
      case PMIX_STRING:
        if (value->data.string != nullptr) pending->text = value->data.string;
        break;
      case PMIX_UINT32:
        pending->number = value->data.uint32;
        break;
      default:
        status = PMIX_ERR_TYPE_MISMATCH;
    }
  }
  pending->finish(status);
}

class PmixRendezvous final : public Rendezvous {
 public:
  PmixRendezvous(const Place& place, Registry& registry) : place_(place), registry_(registry) {}

  void connect(NodeRecord& own, const Patience& patience) override {
    const pmix_status_t status = PMIx_Init(&self_, nullptr, 0);
    if (status != PMIX_SUCCESS) throw failed("PMIx_Init", status);
    connected_ = true;
    patience.check();
    if (self_.rank != place_.rank)
      throw StartFailure(exit_code::other, "PMIx says rank " + std::to_string(self_.rank) +
                                               ", PMIX_RANK " + std::to_string(place_.rank) +
                                               ": start all ranks by one mpirun or srun");
    const PendingRef size = get(PMIX_RANK_WILDCARD, PMIX_JOB_SIZE, false, patience);
    if (size->status != PMIX_SUCCESS) throw failed("PMIx_Get of the number of ranks", size->status);
    own.rank = self_.rank;
    own.size = size->number;
  }

  std::string host_of(std::uint32_t rank) override {
    Patience brief;
    brief.deadline_ns = sys::now_ns() + 1000 * ms;
    const PendingRef host = get(rank, PMIX_HOSTNAME, true, brief);
    return host->status == PMIX_SUCCESS ? host->text : std::string();
  }

  std::vector<NodeRecord> exchange(NodeRecord& own, Identity& identity,
                                   const Patience& patience) override {
    if (own.rank == 0) {
      registry_.remove_leftovers(own.launch_id);
      own.instance = identity.instance;
      put(secret_key, identity.secret);
    }
    put(record_key, encode(own));
    pmix_status_t status = PMIx_Commit();
    if (status != PMIX_SUCCESS) throw failed("PMIx_Commit", status);
    fence(own, NodeState::starting, true, patience);

    std::vector<NodeRecord> records;
    for (std::uint32_t rank = 0; rank < own.size; ++rank) {
      std::string why;
      const auto bytes = get_bytes(rank, record_key, patience);
      auto record = decode_node_record(bytes, why);
      if (!record.ok() || record->rank != rank)
        throw StartFailure(exit_code::other, "What rank " + std::to_string(rank) +
                                                 " gave by PMIx is damaged " + why +
                                                 ": start again");
      records.push_back(*std::move(record));
    }
    if (own.rank != 0) {
      identity.instance = records.front().instance;
      const auto secret = get_bytes(0, secret_key, patience);
      if (secret.size() != identity.secret.size())
        throw StartFailure(exit_code::other, "Rank 0 gave no secret by PMIx: start again");
      std::memcpy(identity.secret.data(), secret.data(), secret.size());
    }
    own.instance = identity.instance;
    own.state = NodeState::joined;
    for (NodeRecord& record : records) {
      // Only rank 0 knew the instance when it put its record.
      record.instance = own.instance;
      record.state = NodeState::joined;
      registry_.check_fits(own, record);
    }
    return records;
  }

  void leave_record(const NodeRecord& own) override {
    registry_.publish(own, Registry::Sync::durable);
  }

  void barrier(NodeRecord& own, NodeState state, const Patience& patience) override {
    own.state = state;
    fence(own, state, false, patience);
    if (state == NodeState::open) registry_.publish(own, Registry::Sync::no);
  }

  void finalize() override {
    if (std::exchange(connected_, false)) PMIx_Finalize(nullptr, 0);
  }

 private:
  void put(const char* key, std::span<const std::byte> bytes) {
    pmix_value_t value{};
    value.type = PMIX_BYTE_OBJECT;
    value.data.bo.bytes = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()));
    value.data.bo.size = bytes.size();
    const pmix_status_t status = PMIx_Put(PMIX_GLOBAL, key, &value);
    if (status != PMIX_SUCCESS) throw failed("PMIx_Put", status);
  }

  // `at_hand`: do not ask the server of another host.
  PendingRef get(std::uint32_t rank, const char* key, bool at_hand, const Patience& patience) {
    auto pending = std::make_shared<Pending>();
    PMIX_LOAD_PROCID(&pending->process, self_.nspace, rank);
    if (at_hand) PMIX_INFO_LOAD(&pending->info, PMIX_OPTIONAL, &pending->flag, PMIX_BOOL);
    auto own = std::make_unique<PendingRef>(pending);
    const pmix_status_t status =
        PMIx_Get_nb(&pending->process, key, at_hand ? &pending->info : nullptr, at_hand ? 1 : 0,
                    on_value, own.get());
    if (status != PMIX_SUCCESS) {
      pending->status = status;
      return pending;
    }
    own.release();
    std::unique_lock guard(pending->mutex);
    const auto rest = std::chrono::nanoseconds(patience.deadline_ns - sys::now_ns());
    if (!pending->changed.wait_for(guard, rest, [&] { return pending->done; }))
      pending->status = PMIX_ERR_TIMEOUT;
    return pending;
  }

  std::vector<std::byte> get_bytes(std::uint32_t rank, const char* key, const Patience& patience) {
    const PendingRef value = get(rank, key, false, patience);
    if (value->status != PMIX_SUCCESS) throw failed("PMIx_Get", value->status);
    return std::move(value->bytes);
  }

  void fence(const NodeRecord& own, NodeState state, bool collect, const Patience& patience) {
    auto pending = std::make_shared<Pending>();
    PMIX_LOAD_PROCID(&pending->process, self_.nspace, PMIX_RANK_WILDCARD);
    pending->flag = collect;
    PMIX_INFO_LOAD(&pending->info, PMIX_COLLECT_DATA, &pending->flag, PMIX_BOOL);
    auto handed_over = std::make_unique<PendingRef>(pending);
    const pmix_status_t status =
        PMIx_Fence_nb(&pending->process, 1, &pending->info, 1, on_fence, handed_over.get());
    if (status == PMIX_OPERATION_SUCCEEDED) return;
    if (status != PMIX_SUCCESS) throw failed("PMIx_Fence", status);
    handed_over.release();

    const std::int64_t start_ns = sys::now_ns();
    const std::int64_t mark_ns =
        start_ns + std::min(mark_after_ns, (patience.deadline_ns - start_ns) / 2);
    bool marked = false;
    std::unique_lock guard(pending->mutex);
    while (!pending->done) {
      pending->changed.wait_for(guard, std::chrono::nanoseconds(look_around_ns));
      if (pending->done) break;
      guard.unlock();
      registry_.throw_failure(own.launch_id);
      patience.check();
      const std::int64_t now_ns = sys::now_ns();
      if (!marked && now_ns > mark_ns) {
        NodeRecord mark = own;
        mark.state = state;
        registry_.publish(mark, Registry::Sync::no);
        marked = true;
      }
      if (now_ns > patience.deadline_ns) throw_timeout(own, state, patience);
      guard.lock();
    }
    if (pending->status == PMIX_SUCCESS) return;
    // A rank has left, and its word may still be on its way through a shared filesystem.
    const std::int64_t word_ns = sys::now_ns() + word_patience_ns;
    while (sys::now_ns() < word_ns) {
      registry_.throw_failure(own.launch_id);
      patience.check();
      pending->changed.wait_for(guard, std::chrono::nanoseconds(look_around_ns));
    }
    throw failed("PMIx_Fence", pending->status);
  }

  [[noreturn]] void throw_timeout(const NodeRecord& own, NodeState state,
                                  const Patience& patience) {
    const std::vector<std::uint32_t> missing = registry_.missing(own, state);
    // The lowest rank that is there speaks for all.
    std::uint32_t speaker = 0;
    while (std::find(missing.begin(), missing.end(), speaker) != missing.end()) ++speaker;
    const Teller teller = speaker == own.rank ? Teller::self : Teller::nobody;
    if (missing.empty())
      throw StartFailure(exit_code::peers,
                         "Timeout waiting for nodes: all " + std::to_string(own.size) +
                             " ranks are there, but PMIx did not bring them together within " +
                             std::to_string(patience.timeout_s) + " s: start again",
                         teller);
    throw StartFailure(exit_code::peers, registry_.timeout_line(missing, state, own, patience),
                       teller);
  }

  Place place_;
  Registry& registry_;
  pmix_proc_t self_{};
  bool connected_ = false;
};

}  // namespace

std::unique_ptr<Rendezvous> make_pmix_rendezvous(const Place& place, Registry& registry) {
  return std::make_unique<PmixRendezvous>(place, registry);
}

}  // namespace benchfs
