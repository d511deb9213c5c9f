// A cluster in one process: N servers, each with its own loop, UCX worker and chunk directory,
// turned in turns. Hosts are made up: host_of says which ranks share tables.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/placement.h"
#include "daemon/channel/host_keeper.h"
#include "daemon/channel/releases.h"
#include "daemon/handlers/common.h"
#include "daemon/journal/replay.h"
#include "daemon/journal/snapshot.h"
#include "daemon/rpc/server.h"
#include "tests/unit/journal/same_namespace.h"

namespace benchfs {

class Cluster {
 public:
  // host_of[r]: the leader's rank of rank r's host.
  // `split_entries`: metadata.directory_split_entries.
  explicit Cluster(std::vector<std::uint32_t> host_of, std::uint32_t request_timeout_ms = 10'000,
                   JournalOptions options = {}, std::uint32_t split_entries = 4096,
                   std::uint32_t inline_bytes = 0) {
    config_.metadata.directory_split_entries = split_entries;
    config_.network.request_timeout_ms = request_timeout_ms;
    PeerOptions peer_options;
    peer_options.request_timeout_ms = request_timeout_ms;
    peer_options.heartbeat_ms = std::min(peer_options.heartbeat_ms, request_timeout_ms / 4);
    ::setenv("UCX_TLS", "tcp", 0);
    directory_ = testing::TempDir() + "/cluster.XXXXXX";
    if (::mkdtemp(directory_.data()) == nullptr) std::abort();
    host_of_ = std::move(host_of);
    incarnations_.assign(host_of_.size(), 0);
    peer_options_ = peer_options;
    journal_options_ = std::move(options);
    config_.storage.chunk_size = 64 << 10;
    for (std::uint32_t r = 0; r < host_of_.size(); ++r) {
      nodes_.push_back(std::make_unique<Node>());
      ::mkdir(place(r).c_str(), 0700);
      if (host_of_[r] == r) {
        const auto memory = make_shared_memory("test-host", sizeof(HostTable));
        nodes_[r]->table = *Mapping::map(memory->get(), sizeof(HostTable));
        nodes_[r]->table.at<HostTable>().inline_bytes = inline_bytes;
      }
      addresses_.push_back(connect(r));
    }
    for (std::uint32_t r = 0; r < host_of_.size(); ++r) serve(r);
  }
  // As if the rank's worker had been killed and started again: it knows what was committed to its
  // journal. What was asked of it fails.
  void restart(std::uint32_t rank) {
    std::unique_ptr<Node> old = std::move(nodes_[rank]);
    nodes_[rank] = std::make_unique<Node>();
    nodes_[rank]->table = std::move(old->table);
    // Its tasks never end: it is neither turned nor destroyed any more.
    static auto* const dead = new std::vector<std::unique_ptr<Node>>;
    dead->push_back(std::move(old));
    addresses_[rank] = connect(rank);
    ++incarnations_[rank];
    for (std::uint32_t r = 0; r < host_of_.size(); ++r)
      if (r != rank) nodes_[r]->peers->update(rank, addresses_[rank], incarnations_[rank]);
    serve(rank);
  }
  ~Cluster() {
    settle();
    check_views();
    check_journals();
    for (auto& node : nodes_)
      EXPECT_TRUE(run(node->peers->shutdown(sys::now_ns() + 200'000'000), node->loop).ok());
    for (auto& node : nodes_) EXPECT_TRUE(until([&] { return node->loop.spawned() == 0; }));
    nodes_.clear();
    std::filesystem::remove_all(directory_);
  }

  void turn() {
    for (auto& node : nodes_)
      if (!node->stopped) node->loop.turn(0);
  }
  // Turns until it is so; false: not within 20 s.
  template <class Condition>
  bool until(Condition condition) {
    const std::int64_t deadline = sys::now_ns() + 20'000'000'000;
    while (!condition()) {
      if (sys::now_ns() > deadline) return false;
      turn();
    }
    return true;
  }
  // Long enough for what needs no kernel thread; what must not happen is looked for after it.
  void settle() {
    for (int i = 0; i < 2000; ++i) turn();
  }

  // A client's request of host `host` at rank `rank`, following redirects as clients do.
  Answer ask(wire::Op op, std::uint32_t rank, std::uint32_t host,
             const std::vector<std::byte>& body, std::uint32_t uid = 0) {
    Node& node = *nodes_[host];
    Caller caller;
    caller.host = host;
    caller.uid = uid;
    caller.wants_leases = true;
    return run(node.server->ask_raw(rank, op, caller, body, {}, {}), node.loop);
  }
  template <class M>
  Answer at_path(M message, std::string path, const std::string& tail = {}, std::uint32_t host = 0,
                 std::uint32_t uid = 0) {
    std::uint64_t inode = root_inode;
    for (int hops = 0; hops < 20; ++hops) {
      message.where.inode = inode;
      message.where.path_bytes = static_cast<std::uint32_t>(path.size());
      std::vector<std::byte> body;
      for (const auto part : {wire::bytes_of(message), wire::bytes_of(std::string_view(path)),
                              wire::bytes_of(std::string_view(tail))})
        body.insert(body.end(), part.begin(), part.end());
      Answer answer = ask(M::op, home_rank(inode), host, body, uid);
      if ((answer.flags & wire::Flag::redirected) == 0) return answer;
      const auto away = *wire::parse<wire::Redirect>(answer.body);
      if (away.kind == wire::RedirectKind::above) return Answer(Error(EXDEV));
      inode = away.inode;
      std::string rest = path.substr(away.consumed);
      if (away.kind == wire::RedirectKind::symlink) {
        const auto target = wire::text(answer.body, sizeof away, answer.body.size() - sizeof away);
        rest = std::string(*target) + rest;
      }
      path = rest;
    }
    return Answer(Error(ELOOP));
  }

  // A request of host `host` at rank 0, whose end shows in `done`.
  void spawn(wire::Op op, std::vector<std::byte> body, std::optional<int>* done,
             std::uint32_t host = 0) {
    nodes_[0]->loop.spawn(ask_later(op, std::move(body), done, host));
  }
  template <class M>
  static std::vector<std::byte> body_of(const M& message, std::string_view tail = {}) {
    std::vector<std::byte> body;
    for (const auto part : {wire::bytes_of(message), wire::bytes_of(tail)})
      body.insert(body.end(), part.begin(), part.end());
    return body;
  }

  int make_directory(const std::string& path) {
    wire::MakeDirectory message{};
    message.mode = 0755;
    return at_path(message, path).error;
  }
  int make_file(const std::string& path, int flags = O_CREAT | O_EXCL | O_WRONLY) {
    const auto reply = open(path, flags);
    if (!reply.ok()) return reply.error().code();
    close(*reply);
    return 0;
  }
  Result<wire::OpenReply> open(const std::string& path, int flags, std::uint32_t host = 0,
                               std::uint32_t uid = 0) {
    const auto reply = open_undelivered(path, flags, host, uid);
    if (reply.ok() && !S_ISDIR(reply->attributes.mode)) deliver(*reply, host, flags);
    return reply;
  }
  // What the host's server does when it passes the answer to a client.
  SizeEntry& deliver(const wire::OpenReply& reply, std::uint32_t host, int flags = O_RDWR) {
    Server& server = *nodes_[host]->server;
    const Topology& topology = server.topology;
    const Granted granted{
        .inode = reply.attributes.inode,
        .session = reply.session,
        .tenure = reply.tenure,
        .size = reply.attributes.size,
        .exact = reply.exact != 0,
        .writes = (flags & O_ACCMODE) != O_RDONLY,
        .foreign = topology.host_of[home_rank(reply.attributes.inode)] != topology.host(),
        .stored = reply.stored,
        .content = wire::bytes_of(opened_content_)};
    EXPECT_EQ(opened_content_.size(), reply.content_bytes);
    const std::uint32_t index = server.table.opened(server.self, granted);
    EXPECT_NE(index, 0u);
    return server.table.entries[index];
  }
  SizeEntry& entry(const wire::OpenReply& opened, std::uint32_t host) {
    Server& server = *nodes_[host]->server;
    return server.table.entries[server.table.find(server.self, opened.attributes.inode, 0)];
  }
  Result<wire::OpenReply> open_undelivered(const std::string& path, int flags, std::uint32_t host,
                                           std::uint32_t uid = 0) {
    wire::Open message{};
    message.where.flags = wire::WhereFlag::follow;
    message.flags = static_cast<std::uint32_t>(flags);
    message.mode = 0644;
    const Answer answer = at_path(message, path, {}, host, uid);
    if (answer.error != 0) return Error(answer.error);
    opened_content_.assign(reinterpret_cast<const char*>(answer.body.data()), answer.body.size());
    opened_content_.erase(0, sizeof(wire::OpenReply));
    return wire::parse<wire::OpenReply>(answer.body);
  }
  void close(const wire::OpenReply& opened, std::uint32_t host = 0, std::uint64_t end = 0) {
    if (S_ISDIR(opened.attributes.mode)) return;
    SizeEntry& closed = entry(opened, host);
    raise_to(closed.end, end);
    Server& server = *nodes_[host]->server;
    const std::uint32_t index = server.table.index_of(closed);
    server.table.undo_open(server.self, index);
    EXPECT_TRUE(until([&] { return closed.releasing.load() == 0; }));
    settle();
  }
  Result<wire::Attributes> stat(const std::string& path, bool follow = true,
                                std::uint32_t host = 0) {
    wire::Stat message{};
    message.where.flags = follow ? std::uint32_t{wire::WhereFlag::follow} : 0u;
    const Answer answer = at_path(message, path, {}, host);
    if (answer.error != 0) return Error(answer.error);
    return wire::parse<wire::Attributes>(answer.body);
  }
  int unlink(const std::string& path) { return at_path(wire::Unlink{}, path).error; }
  int remove_directory(const std::string& path) {
    return at_path(wire::RemoveDirectory{}, path).error;
  }
  int rename(const std::string& from, const std::string& to, std::uint32_t flags = 0) {
    for (;;) {
      const Answer a = at_path(wire::Resolve{}, from);
      if (a.error != 0) return a.error;
      const Answer b = at_path(wire::Resolve{}, to);
      if (b.error != 0) return b.error;
      const std::string from_name = from.substr(from.rfind('/') + 1);
      const std::string to_name = to.substr(to.rfind('/') + 1);
      wire::Rename message{};
      message.from_directory = wire::parse<wire::ResolveReply>(a.body)->inode;
      message.to_directory = wire::parse<wire::ResolveReply>(b.body)->inode;
      message.from_bytes = static_cast<std::uint32_t>(from_name.size());
      message.to_bytes = static_cast<std::uint32_t>(to_name.size());
      message.flags = flags;
      const Answer answer = ask(wire::Op::rename, home_rank(message.from_directory), 0,
                                body_of(message, from_name + to_name));
      if ((answer.flags & wire::Flag::redirected) == 0) return answer.error;
    }
  }

  template <class T>
  T run(Task<T> task, EventLoop& loop) {
    std::optional<T> result;
    loop.spawn(keep(std::move(task), &result));
    const std::int64_t deadline = sys::now_ns() + 20'000'000'000;
    while (!result.has_value()) {
      turn();
      if (sys::now_ns() > deadline) throw std::runtime_error("no answer in 20 s");
    }
    return *std::move(result);
  }

  struct Node {
    EventLoop loop;
    std::unique_ptr<Uring> uring;
    std::unique_ptr<PeerChannel> peers;
    std::unique_ptr<UringChunkStore> store;
    Mapping table;
    Mapping view;
    Mapping leased;
    bool stopped = false;  // as by a signal
    std::unique_ptr<Server> server;
    std::unique_ptr<Journal> journal;
    std::unique_ptr<Snapshots> snapshots;
    std::unique_ptr<HostKeeper> keeper;
    std::unique_ptr<Releases> releases;
  };
  Node& node(std::uint32_t rank) { return *nodes_[rank]; }
  // What the ranks show is what they know.
  void check_views() {
    for (auto& node : nodes_) {
      check_view(node->view.at<HostView>());
      if (node->leased) check_view(node->leased.at<LeasedView>().view);
    }
  }
  void check_view(const HostView& view) {
    for (const ViewSlot& slot : view.inodes) {
      if (slot.word(0) == 0) continue;
      const auto shown = std::bit_cast<ViewInode>(*slot.read());
      Server& home = *nodes_[home_rank(shown.inode)]->server;
      const Inode* const inode = home.names.find(shown.inode);
      ASSERT_NE(inode, nullptr) << shown.inode;
      EXPECT_FALSE(inode->is_removed()) << shown.inode;
      EXPECT_EQ(shown.is_split(), inode->is_split()) << shown.inode;
      if (inode->is_split()) {
        const Partition& partition = *inode->directory->partition;
        EXPECT_EQ(shown.has(partition.low), partition.low < partition.high);
        EXPECT_TRUE(shown.has(partition.high - 1));
        EXPECT_FALSE(shown.has(partition.high));
        EXPECT_EQ(shown.mode, inode->mode);
        continue;
      }
      const wire::Attributes known = attributes_of(*inode);
      EXPECT_EQ(shown.size(), known.size);
      EXPECT_EQ(shown.mode, known.mode);
      EXPECT_EQ(shown.links, known.links);
      EXPECT_EQ(std::tie(shown.uid, shown.gid), std::tie(known.uid, known.gid));
      EXPECT_EQ(std::tie(shown.accessed, shown.modified, shown.changed),
                std::tie(known.accessed, known.modified, known.changed));
      const bool written = inode->open != nullptr && inode->open->written();
      EXPECT_EQ(shown.elsewhere == Elsewhere::written_here, written);
      if (written) {
        EXPECT_EQ(inode->open->exact_host, home.topology.host());
      }
    }
    for (const ViewSlot& slot : view.entries) {
      if (slot.word(0) == 0) continue;
      const auto shown = std::bit_cast<ViewEntry>(*slot.read());
      const Namespace& names = nodes_[home_rank(shown.directory)]->server->names;
      const Inode* const directory = names.find(shown.directory);
      if (directory == nullptr || directory->is_removed()) continue;  // nobody gets there
      ASSERT_LE(shown.name_bytes, shown.name.size()) << "no test here has such names";
      const std::string_view name(shown.name.data(), shown.name_bytes);
      if (!directory->directory->has_place_for(shown.directory, name)) continue;  // nor here
      const Entry* const entry = names.entry(*directory, name);
      EXPECT_EQ(shown.inode, entry != nullptr ? entry->inode : 0) << name;
      EXPECT_EQ(shown.type, entry != nullptr ? entry->type : 0) << name;
    }
  }
  // Names, inodes and link counts of all ranks fit together, and no change is left half done.
  void check_whole() {
    struct Seen {
      std::uint32_t names = 0;
      std::uint64_t parent = 0;
      std::string name;
      std::uint32_t type = 0;
    };
    std::map<std::uint64_t, Seen> named;
    named[root_inode] = {.names = 1, .parent = root_inode, .name = "", .type = S_IFDIR};
    for (auto& node : nodes_) {
      const Server& server = *node->server;
      EXPECT_TRUE(server.names.locks().empty());
      EXPECT_TRUE(server.pinned.empty());
      EXPECT_EQ(server.coordinator.size() + server.participant.size(), 0u);
      server.names.for_each([&](const Inode& inode) {
        if (!inode.is_directory()) return;
        std::uint32_t subdirectories = 0;
        const Partition* const partition = inode.directory->partition.get();
        for (const auto& [key, entry] : inode.directory->entries) {
          if (partition != nullptr) {
            EXPECT_EQ(partition->elsewhere(key.cookie).inode, 0u) << key.name.view();
          }
          Seen& seen = named[entry.inode];
          ++seen.names;
          seen.parent = inode.directory->whole(inode.number);
          seen.name = key.name;
          seen.type = entry.type;
          if (entry.type == S_IFDIR) ++subdirectories;
        }
        EXPECT_EQ(inode.directory->subdirectories, subdirectories) << inode.number;
      });
    }
    for (auto& node : nodes_)
      node->server->names.for_each([&](const Inode& inode) {
        if (!inode.is_directory()) return;
        for (const std::uint64_t part : parts_here(inode))
          named[part] = {.names = 1, .parent = inode.number, .name = "", .type = S_IFDIR};
      });
    for (auto& node : nodes_)
      node->server->names.for_each([&](const Inode& inode) {
        const auto found = named.find(inode.number);
        ASSERT_TRUE(found != named.end()) << "inode without a name: " << inode.number;
        const Seen seen = found->second;
        named.erase(found);
        EXPECT_EQ(seen.type, inode.type()) << seen.name;
        if (inode.is_directory()) {
          EXPECT_EQ(seen.names, 1u) << seen.name;
          EXPECT_EQ(inode.directory->parent, seen.parent) << seen.name;
          EXPECT_EQ(inode.directory->name, seen.name);
        } else {
          EXPECT_EQ(inode.links, seen.names) << seen.name;
        }
      });
    for (const auto& [inode, seen] : named)
      ADD_FAILURE() << "name without an inode: " << seen.name << " -> " << inode;
  }
  // A worker that began now would know what the ranks know.
  void check_journals() {
    for (auto& node : nodes_) {
      Server& live = *node->server;
      EXPECT_TRUE(run(node->journal->make_room(room_to_change), node->loop).ok());
      live.commit();
      const auto restored = this->restored(*node);
      expect_same(live.names, restored->names);
      EXPECT_EQ(restored->blobs.all(), live.blobs.all());
      EXPECT_GT(restored->next_session, live.next_session);
    }
  }
  // What a server that began now would be. It must not outlive the cluster.
  std::unique_ptr<Server> restored(Node& node) {
    Server& live = *node.server;
    auto restored = std::make_unique<Server>(node.loop, config_, live.topology, *node.peers,
                                             *node.store, live.table, live.self);
    Replay replay(*restored);
    std::string why;
    const std::string copy = node.journal->path() + ".copy";  // as a kill would leave it
    std::filesystem::copy(node.journal->path(), copy);
    const Fd directory(sys::openat(AT_FDCWD, copy.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto read = recover_journal(directory.get(), copy,
                                      {.instance = {}, .rank = live.topology.rank}, replay, why);
    std::filesystem::remove_all(copy);
    EXPECT_TRUE(read.ok()) << why;
    if (read.ok()) {
      EXPECT_EQ(read->next_sequence, node.journal->next_sequence());
    }
    return restored;
  }
  std::size_t inodes() {
    std::size_t count = 0;
    for (auto& node : nodes_) count += node->server->names.size();
    return count;
  }
  std::size_t chunk_files() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_))
      count += entry.path().filename().string().starts_with("inode_") ? 1 : 0;
    return count;
  }

 private:
  std::string place(std::uint32_t rank) const {
    return directory_ + "/rank_" + std::to_string(rank);
  }
  // The parts that need no other rank; the peer channel's address.
  std::vector<std::byte> connect(std::uint32_t r) {
    Node& node = *nodes_[r];
    node.uring = *Uring::create(node.loop, 64, 16);
    std::string why;
    auto peers = PeerChannel::create(node.loop, peer_options_, why);
    if (!peers.ok()) throw std::runtime_error(why);
    node.peers = *std::move(peers);
    node.store = *UringChunkStore::create(*node.uring, place(r),
                                          {.chunk_bytes = config_.storage.chunk_size,
                                           .rank = r,
                                           .ranks = static_cast<std::uint32_t>(host_of_.size())});
    const auto address = node.peers->address();
    return {address.begin(), address.end()};
  }
  void serve(std::uint32_t r) {
    Node& node = *nodes_[r];
    Topology topology;
    topology.rank = r;
    topology.size = static_cast<std::uint32_t>(host_of_.size());
    topology.host_of = host_of_;
    topology.host_name_of.assign(host_of_.size(), "test");
    node.server = std::make_unique<Server>(node.loop, config_, topology, *node.peers, *node.store,
                                           nodes_[host_of_[r]]->table.at<HostTable>(),
                                           process_id(::getpid()));
    node.server->on_stop = [] {};
    const auto view = make_shared_memory("test-view", sizeof(HostView));
    node.view = *Mapping::map(view->get(), sizeof(HostView));
    node.server->names.show_in(node.view.at<HostView>(), host_of_[r]);
    JournalOptions options = journal_options_;
    options.directory = place(r) + "/journal";
    options.identity.rank = r;
    Replay replay(*node.server);
    std::string why;
    auto journal = Journal::open(node.loop, *node.uring, options, replay, why);
    if (!journal.ok()) throw std::runtime_error(why);
    node.journal = *std::move(journal);
    node.server->log_to(*node.journal);
    if (node.journal->records_recovered() != 0) {
      EXPECT_TRUE(node.server->restore_transactions().ok());
    }
    node.snapshots = std::make_unique<Snapshots>(*node.server, *node.uring, *node.journal);
    node.journal->on_snapshot_due = [&node] { node.snapshots->start(); };
    if (host_of_[r] == r) {
      if (std::ranges::count(host_of_, r) != std::ssize(host_of_)) {
        const auto leased = make_shared_memory("test-leases", sizeof(LeasedView));
        node.leased = *Mapping::map(leased->get(), sizeof(LeasedView));
        node.server->held =
            std::make_unique<LeaseHolder>(node.leased.at<LeasedView>(), topology.size);
      }
      node.keeper = std::make_unique<HostKeeper>(*node.server, incarnations_[r] != 0);
      node.loop.add(*node.keeper);
    }
    node.releases = std::make_unique<Releases>(*node.server, incarnations_[r] != 0);
    node.loop.add(*node.releases);
    PeerIdentity identity;
    identity.rank = r;
    identity.size = topology.size;
    identity.incarnation = incarnations_[r];
    node.peers->start(identity, addresses_, [&node](PeerCall call) {
      node.loop.spawn(node.server->serve_peer(std::move(call)));
    });
  }
  Task<int> ask_later(wire::Op op, std::vector<std::byte> body, std::optional<int>* done,
                      std::uint32_t host) {
    Caller caller;
    caller.host = host;
    const Answer answer = co_await nodes_[0]->server->ask_raw(0, op, caller, body, {}, {});
    *done = answer.error;
    co_return 0;
  }
  template <class T>
  static Task<int> keep(Task<T> task, std::optional<T>* result) {
    result->emplace(co_await task);
    co_return 0;
  }

  Config config_;
  PeerOptions peer_options_;
  JournalOptions journal_options_;
  std::vector<std::uint32_t> host_of_;
  std::vector<std::vector<std::byte>> addresses_;
  std::vector<std::uint32_t> incarnations_;  // how often each was restarted
  std::string directory_;
  std::string opened_content_;  // what came with the last answer to an open
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace benchfs
