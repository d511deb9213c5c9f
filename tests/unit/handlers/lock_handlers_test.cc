// Locks through the servers of two hosts and back: grants, waits, deaths, circles, restarts.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster.h"
#include "daemon/channel/lock_relay.h"
#include "daemon/handlers/lock_recovery.h"

namespace benchfs {
namespace {

using wire::LockKind;
using wire::LockOwnerKind;
using wire::LockSpace;

// Ranks 0 and 1 share a host, rank 2 is another.
class LocksTest : public testing::Test {
 protected:
  LocksTest() : cluster_({0, 0, 2}) {
    for (std::uint32_t rank : {0u, 1u, 2u}) {
      files_.push_back(*make_shared_memory("test-waits", 4096));
      relays_.push_back(std::make_unique<LockRelay>(server(rank), files_.back().get()));
    }
  }
  Server& server(std::uint32_t rank) { return *cluster_.node(rank).server; }

  // A process of `host` with a file open.
  struct Program {
    std::uint32_t host;
    Client client;
    wire::OpenReply opened;
    std::uint32_t slot;
    std::uint64_t position;
  };
  std::unique_ptr<Program> program(ProcessId process, std::uint32_t host, const std::string& path) {
    auto made = std::make_unique<Program>();
    made->host = host;
    made->client.process = process;
    made->client.id = ++clients_;
    made->opened = *cluster_.open(path, O_RDWR | O_CREAT, host);
    HostTable& table = server(host).table;
    ProcessRecord* const record = table.record_of(process, true);
    made->slot = table.take_slot(process, *record);
    table.slots[made->slot].inode.store(made->opened.attributes.inode);
    made->position = table.position(made->slot);
    return made;
  }
  // The last one of a host with the file open tells its home.
  void close(Program& program) {
    HostTable& table = server(program.host).table;
    table.drop_slot(program.client.process, *table.record_of(program.client.process, false),
                    program.slot);
    table.undo_open(program.client.process,
                    table.index_of(cluster_.entry(program.opened, program.host)));
    cluster_.settle();
  }
  static wire::Lock message(const Program& program, LockKind kind, std::uint16_t flags = 0,
                            LockOwnerKind owner = LockOwnerKind::process,
                            LockSpace space = LockSpace::ranges) {
    return {.inode = program.opened.attributes.inode,
            .start = 0,
            .last = wire::lock_last_max,
            .slot = program.position,
            .owner = {.id = 0, .host = 0, .kind = owner},
            .ticket = 0,
            .rank = 0,
            .space = space,
            .kind = kind,
            .flags = flags};
  }
  Answer ask(Program& program, const wire::Lock& request) {
    return cluster_.run(relays_[program.host]->lock(program.client, request),
                        cluster_.node(program.host).loop);
  }
  int lock(Program& program, LockKind kind, LockOwnerKind owner = LockOwnerKind::process,
           LockSpace space = LockSpace::ranges) {
    return ask(program, message(program, kind, 0, owner, space)).error;
  }
  // The ticket of a wait.
  std::uint64_t wait(Program& program, LockKind kind) {
    const Answer answer = ask(program, message(program, kind, wire::lock_wait));
    EXPECT_EQ(answer.error, 0);
    const auto reply = wire::parse<wire::LockReply>(answer.body);
    EXPECT_EQ(reply->state, wire::LockState::queued);
    return reply->ticket;
  }
  int end_wait(Program& program, std::uint64_t ticket) {
    const wire::EndLockWait request{.ticket = ticket};
    return cluster_
        .run(relays_[program.host]->end_wait(program.client, request),
             cluster_.node(program.host).loop)
        .error;
  }
  // What the client sleeps on.
  bool byte_is_locked(const Program& program, std::uint64_t ticket) {
    const pid_t child = ::fork();
    if (child == 0) {
      struct flock byte {};
      byte.l_type = F_RDLCK;
      byte.l_start = static_cast<off_t>(ticket * 2);
      byte.l_len = 1;
      const int done = ::fcntl(files_[program.host].get(), F_SETLK, &byte);
      ::_exit(done == 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status) == 1;
  }
  // A directory at home on `rank`.
  std::string directory_at(std::uint32_t rank) {
    for (int i = 0;; ++i) {
      const std::string name = "d" + std::to_string(rank) + "." + std::to_string(i);
      EXPECT_EQ(cluster_.make_directory(name), 0);
      if (home_rank(cluster_.stat(name)->inode) == rank) return name;
    }
  }

  Cluster cluster_;
  std::vector<Fd> files_;
  std::vector<std::unique_ptr<LockRelay>> relays_;
  std::uint32_t clients_ = 0;
  const ProcessId here_ = process_id(::getpid());
  const ProcessId parent_ = process_id(::getppid());
  const ProcessId first_ = process_id(1);
  // Nobody: no process has this start time.
  const ProcessId dead_ = static_cast<std::uint32_t>(::getpid()) | std::uint64_t{7} << 32;
};

TEST_F(LocksTest, ExcludeAcrossHostsUntilGivenUp) {
  const auto a = program(here_, 0, "f");
  const auto b = program(parent_, 2, "f");
  EXPECT_EQ(lock(*a, LockKind::exclusive), 0);
  EXPECT_EQ(lock(*b, LockKind::shared), EAGAIN);
  const Answer answer = ask(*b, message(*b, LockKind::shared, wire::lock_test));
  const auto in_the_way = wire::parse<wire::LockReply>(answer.body);
  EXPECT_EQ(in_the_way->kind, LockKind::exclusive);
  EXPECT_EQ(in_the_way->pid, ::getpid());
  EXPECT_EQ(lock(*a, LockKind::unlocked), 0);
  EXPECT_EQ(lock(*b, LockKind::exclusive), 0);
  EXPECT_EQ(lock(*a, LockKind::shared), EAGAIN);
  EXPECT_TRUE(server(2).table.locks.any(b->opened.attributes.inode));
  EXPECT_EQ(lock(*b, LockKind::unlocked), 0);
  EXPECT_FALSE(server(2).table.locks.any(b->opened.attributes.inode));
  close(*a);
  close(*b);
}

TEST_F(LocksTest, NeedTheFileOpenThroughTheClientsOwnSlot) {
  const auto a = program(here_, 0, "f");
  const auto other = program(parent_, 0, "g");
  auto request = message(*a, LockKind::exclusive);
  request.slot = other->position;  // not its own
  EXPECT_EQ(ask(*a, request).error, EBADF);
  request = message(*a, LockKind::exclusive);
  request.inode = other->opened.attributes.inode;  // not what it has open
  EXPECT_EQ(ask(*a, request).error, EBADF);
  request = message(*a, LockKind::exclusive);
  request.start = 1, request.last = 0;
  EXPECT_EQ(ask(*a, request).error, EINVAL);
  request = message(*a, LockKind(9));
  EXPECT_EQ(ask(*a, request).error, EINVAL);
  EXPECT_EQ(end_wait(*a, 12345), ESTALE);
  close(*a);
  close(*other);
}

TEST_F(LocksTest, AWaitIsQueuedGrantedAndWokenOrWithdrawn) {
  const auto a = program(here_, 0, "f");
  const auto b = program(parent_, 2, "f");
  ASSERT_EQ(lock(*a, LockKind::exclusive), 0);
  const std::uint64_t withdrawn = wait(*b, LockKind::exclusive);
  EXPECT_TRUE(byte_is_locked(*b, withdrawn));
  EXPECT_EQ(end_wait(*b, withdrawn), EINTR);
  EXPECT_FALSE(byte_is_locked(*b, withdrawn));
  const std::uint64_t granted = wait(*b, LockKind::exclusive);
  cluster_.settle();
  EXPECT_TRUE(byte_is_locked(*b, granted));
  EXPECT_EQ(lock(*a, LockKind::unlocked), 0);
  EXPECT_TRUE(cluster_.until([&] { return !byte_is_locked(*b, granted); }));
  EXPECT_EQ(end_wait(*b, granted), 0);
  EXPECT_EQ(end_wait(*b, granted), ESTALE);
  EXPECT_EQ(lock(*a, LockKind::shared), EAGAIN);
  cluster_.close(b->opened, b->host);  // which has the file open no more
  EXPECT_EQ(lock(*a, LockKind::shared), 0);
  close(*a);
}

TEST_F(LocksTest, OfTheDeadAreNotInTheWay) {
  for (const std::uint32_t host : {0u, 2u}) {
    const auto keeps_open = program(parent_, host, "f");
    const auto gone = program(dead_, host, "f");
    const auto a = program(here_, 0, "f");
    ASSERT_EQ(lock(*gone, LockKind::exclusive), 0);
    EXPECT_EQ(lock(*a, LockKind::exclusive), 0) << "of host " << host;
    EXPECT_EQ(lock(*a, LockKind::unlocked), 0);
    // And while one waits: the home looks now and then.
    ASSERT_EQ(lock(*gone, LockKind::exclusive), 0);
    const std::uint64_t ticket = wait(*a, LockKind::exclusive);
    EXPECT_TRUE(cluster_.until([&] { return !byte_is_locked(*a, ticket); }));
    EXPECT_EQ(end_wait(*a, ticket), 0);
    close(*gone);
    close(*a);
    close(*keeps_open);
  }
}

TEST_F(LocksTest, AWaiterThatIsGoneIsNotGranted) {
  const auto a = program(here_, 0, "f");
  const auto b = program(parent_, 2, "f");
  const auto c = program(first_, 2, "f");
  ASSERT_EQ(lock(*a, LockKind::exclusive), 0);
  wait(*b, LockKind::exclusive);
  b->client.gone = true;
  relays_[2]->client_gone(b->client.id);
  cluster_.settle();
  EXPECT_EQ(lock(*a, LockKind::unlocked), 0);
  cluster_.settle();
  EXPECT_EQ(lock(*c, LockKind::exclusive), 0);
  EXPECT_EQ(server(2).table.locks.waits_of(here_, parent_).size(), 0u);
  close(*a);
  close(*b);
  close(*c);
}

TEST_F(LocksTest, WaitsThroughAServerThatDiedAreWithdrawn) {
  const auto a = program(here_, 0, "f");
  const auto b = program(parent_, 2, "f");
  const auto c = program(first_, 2, "f");
  ASSERT_EQ(lock(*a, LockKind::exclusive), 0);
  const std::uint64_t ticket = wait(*b, LockKind::exclusive);
  const auto died = std::exchange(relays_[2], nullptr);
  relays_[2] = std::make_unique<LockRelay>(server(2), files_[2].get());
  EXPECT_EQ(end_wait(*b, ticket), ESTALE) << "to ask again";
  EXPECT_TRUE(cluster_.until([&] { return !byte_is_locked(*b, ticket); }));
  EXPECT_EQ(lock(*a, LockKind::unlocked), 0);
  EXPECT_EQ(lock(*c, LockKind::exclusive), 0) << "nobody waits before it";
  EXPECT_TRUE(server(2).table.locks.waits_of(here_, parent_).empty());
  for (Program* each : {a.get(), b.get(), c.get()}) close(*each);
}

TEST_F(LocksTest, ACircleOfWaitsOnThreeServersEndsForTheYoungest) {
  const std::string f = directory_at(0) + "/f", g = directory_at(1) + "/g",
                    h = directory_at(2) + "/h";
  const auto af = program(here_, 0, f), ag = program(here_, 0, g);
  const auto bg = program(parent_, 2, g), bh = program(parent_, 2, h);
  const auto ch = program(first_, 0, h), cf = program(first_, 0, f);
  ASSERT_EQ(lock(*af, LockKind::exclusive), 0);
  ASSERT_EQ(lock(*bg, LockKind::exclusive), 0);
  ASSERT_EQ(lock(*ch, LockKind::exclusive), 0);
  const std::uint64_t first = wait(*ag, LockKind::exclusive);
  const std::uint64_t second = wait(*bh, LockKind::exclusive);
  cluster_.settle();
  EXPECT_TRUE(byte_is_locked(*ag, first)) << "no circle yet";
  EXPECT_TRUE(byte_is_locked(*bh, second)) << "no circle yet";
  const std::uint64_t third = wait(*cf, LockKind::shared);
  EXPECT_TRUE(cluster_.until([&] { return !byte_is_locked(*cf, third); }));
  EXPECT_EQ(end_wait(*cf, third), EDEADLK);
  cluster_.settle();
  EXPECT_TRUE(byte_is_locked(*ag, first));
  EXPECT_TRUE(byte_is_locked(*bh, second));
  EXPECT_EQ(lock(*ch, LockKind::unlocked), 0);
  EXPECT_EQ(end_wait(*bh, second), 0);
  EXPECT_EQ(lock(*bg, LockKind::unlocked), 0);
  EXPECT_EQ(end_wait(*ag, first), 0);
  for (Program* each : {af.get(), ag.get(), bg.get(), bh.get(), ch.get(), cf.get()}) close(*each);
}

TEST_F(LocksTest, AHomeThatWasRestartedAsksBeforeItGrants) {
  const auto a = program(here_, 0, "f");
  const auto b = program(parent_, 2, "f");
  const auto c = program(first_, 2, "f");
  const auto gone = program(dead_, 2, "f");
  ASSERT_EQ(lock(*gone, LockKind::shared), 0);
  ASSERT_EQ(lock(*b, LockKind::shared), 0);
  ASSERT_EQ(lock(*b, LockKind::exclusive, LockOwnerKind::description, LockSpace::whole), 0);
  const std::uint64_t ticket = wait(*a, LockKind::exclusive);
  server(0).locks.end_all(ESTALE);
  server(0).loop.spawn(recover_locks(server(0)));
  EXPECT_EQ(lock(*c, LockKind::exclusive), EAGAIN);
  EXPECT_EQ(lock(*c, LockKind::shared, LockOwnerKind::description, LockSpace::whole), EAGAIN);
  EXPECT_EQ(server(0).locks.of(a->opened.attributes.inode).ranges.owners().size(), 1u)
      << "the dead are not handed back";
  EXPECT_EQ(lock(*b, LockKind::unlocked), 0);
  EXPECT_EQ(end_wait(*a, ticket), 0) << "who waited has asked again";
  for (Program* each : {a.get(), b.get(), c.get(), gone.get()}) close(*each);
}

}  // namespace
}  // namespace benchfs
