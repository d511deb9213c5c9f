#include "client-preload/fs/channel.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <thread>
#include <vector>

#include "common/process.h"

namespace benchfs {
namespace {

bool cannot_repair(void*) { return false; }

// A server of one client: a thread that answers each posted slot with its own body, reversed.
class Echo {
 public:
  explicit Echo(bool sleeps) : sleeps_(sleeps) {
    const Fd region(make_shared_memory("region", sizeof(ClientRegion)).operator*().release());
    const Fd control(make_shared_memory("control", sizeof(ControlPage)).operator*().release());
    server_region_ = *Mapping::map(region.get(), sizeof(ClientRegion));
    server_page_ = *Mapping::map(control.get(), sizeof(ControlPage));
    doorbell_ = Fd(::eventfd(0, EFD_CLOEXEC));
    page().generation.store(1);
    page().server.store(process_id(getpid()));
    bell.control = *Mapping::map(control.get(), sizeof(ControlPage));
    EXPECT_TRUE(bell.doorbell.take(Fd(::dup(doorbell_.get()))).ok());
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    far_end_ = Fd(pair[1]);
    channel = std::make_unique<Channel>(*Mapping::map(region.get(), sizeof(ClientRegion)), bell,
                                        privates, Channel::Place{.client = client, .generation = 1},
                                        policy, &Echo::attach, this);
    EXPECT_TRUE(channel->socket.take(Fd(pair[0])).ok());
  }
  ~Echo() { stop(); }

  void start() {
    thread_ = std::thread([this] { serve(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(doorbell_.get(), &one, 8), 8);
    thread_.join();
  }
  bool answered_all() {
    for (const Slot& slot : server_region_.at<ClientRegion>().slots)
      if (slot.state.load() == SlotState::posted) return false;
    return true;
  }
  ControlPage& page() { return server_page_.at<ControlPage>(); }
  void hang_up() { far_end_.reset(); }
  // A server that dies now, with a supervisor that lives.
  void die() {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    page().server.store(process_id(child));
    page().supervisor.store(process_id(getpid()));
    waitpid(child, nullptr, 0);
  }
  // Its successor knows nobody until somebody greets it.
  void follow() {
    page().server.store(process_id(getpid()));
    page().generation.fetch_add(1);
  }
  int greeted = 0;

  static constexpr std::uint32_t client = 70;
  static constexpr std::uint32_t client_again = 3;
  PrivateDescriptors privates;
  WaitPolicy policy;
  Bell bell{privates, cannot_repair, nullptr};
  std::unique_ptr<Channel> channel;

 private:
  static Status attach(void* owner, Channel& attached) {
    auto& self = *static_cast<Echo*>(owner);
    ++self.greeted;
    self.start();
    attached.attached({.client = client_again, .generation = self.page().generation.load()});
    return Done{};
  }
  void serve() {
    while (!stopping_) {
      if (answer_posted()) continue;
      if (!sleeps_) continue;
      page().sleeping.store(1);
      if (page().summary.load() == 0 && !stopping_) {
        std::uint64_t rings = 0;
        EXPECT_EQ(::read(doorbell_.get(), &rings, 8), 8);
      }
      page().sleeping.store(0);
    }
  }
  bool answer_posted() {
    if (page().summary.exchange(0) == 0) return false;
    if ((page().pending[client / 64].exchange(0) | page().pending[client_again / 64].exchange(0)) ==
        0)
      return false;
    ClientRegion& region = server_region_.at<ClientRegion>();
    std::uint32_t bits = region.posted.exchange(0);
    for (; bits != 0; bits &= bits - 1) {
      Slot& slot = region.slots[static_cast<std::size_t>(std::countr_zero(bits))];
      EXPECT_EQ(slot.state.load(), SlotState::posted);
      wire::Envelope reply = slot.envelope;
      reply.error = 0;
      std::byte* const place = slot.body.data() + Slot::reply_offset(reply.length);
      std::memcpy(place, &reply, sizeof reply);
      std::reverse_copy(slot.body.begin(), slot.body.begin() + reply.length, place + sizeof reply);
      slot.state.store(SlotState::answered);
      if (slot.sleeper.load() != 0) sys::futex_wake(&slot.state, 1);
    }
    return true;
  }

  const bool sleeps_;
  Mapping server_region_;
  Mapping server_page_;
  Fd doorbell_;
  Fd far_end_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

bool round_trip(Channel& channel, const std::string& text) {
  Request request;
  request.begin(channel);
  request.add(wire::bytes_of(text));
  request.post(wire::Op::stat, 0);
  if (!request.wait().ok()) return false;
  const auto body = request.body();
  return std::equal(text.rbegin(), text.rend(), reinterpret_cast<const char*>(body.data()));
}

void many_threads(Echo& echo) {
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 24; ++t) {  // more than there are slots
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i)
        if (round_trip(*echo.channel, std::to_string(t) + "/" + std::to_string(i)))
          good.fetch_add(1);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 24 * 300);
}

TEST(Channel, AnswersManyThreadsAwakeAndAsleep) {
  for (const Waiting waiting : {Waiting::adaptive, Waiting::block}) {
    Echo echo(true);
    echo.policy.waiting = waiting;
    echo.start();
    many_threads(echo);
  }
}

TEST(Channel, KeepsSeveralRequestsOfOneThreadApart) {
  Echo echo(true);
  echo.start();
  for (int round = 0; round < 200; ++round) {
    std::array<Request, slots_per_client> requests;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      ASSERT_TRUE(requests[i].try_begin(*echo.channel));
      const std::string text = "x" + std::to_string(i);
      requests[i].add(wire::bytes_of(text));
      requests[i].post(wire::Op::stat, 0);
    }
    Request more;
    EXPECT_FALSE(more.try_begin(*echo.channel));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      ASSERT_TRUE(requests[i].wait().ok());
      EXPECT_EQ(static_cast<char>(requests[i].body().back()), 'x');
    }
  }
}

TEST(Channel, RefusesBodiesThatDoNotFit) {
  Echo echo(true);
  Request request;
  request.begin(*echo.channel);
  const std::string whole(wire::body_bytes_max, 'a');
  EXPECT_TRUE(request.add(wire::bytes_of(whole)));
  EXPECT_FALSE(request.add(wire::bytes_of(std::string_view("b"))));
}

TEST(Channel, SaysThatTheServerEnded) {
  Echo echo(true);  // nobody answers
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  echo.page().server.store(process_id(child));
  std::thread killer([&] {
    usleep(150'000);
    kill(child, SIGKILL);
  });
  Request request;
  request.begin(*echo.channel);
  request.post(wire::Op::stat, 0);
  const Status status = request.wait();
  killer.join();
  waitpid(child, nullptr, 0);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error(), Error(EIO));
  EXPECT_TRUE(echo.channel->dead());
}

// What a dead server left unanswered its successor finds in the same slots, with the same numbers.
TEST(Channel, HandsWhatIsUnansweredToTheNextServer) {
  Echo echo(true);
  echo.die();
  std::array<Request, 3> requests;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(requests[i].try_begin(*echo.channel));
    const std::string text = "a" + std::to_string(i);
    requests[i].add(wire::bytes_of(text));
    requests[i].post(wire::Op::stat, 0);
  }
  std::thread successor([&] {
    usleep(150'000);
    echo.follow();
  });
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(requests[i].wait().ok());
    const auto body = requests[i].body();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(body.data()), body.size()),
              std::to_string(i) + "a");
  }
  successor.join();
  EXPECT_EQ(echo.greeted, 1);
  EXPECT_TRUE(round_trip(*echo.channel, "later"));
  EXPECT_EQ(echo.channel->generation(), 2U);
}

TEST(Channel, TakesAnAnswerWrittenBeforeTheServerDied) {
  Echo echo(true);
  Request request;
  request.begin(*echo.channel);
  request.add(wire::bytes_of(std::string_view("ab")));
  request.post(wire::Op::stat, 0);
  echo.start();
  while (!echo.answered_all()) usleep(1000);
  echo.stop();
  echo.die();
  ASSERT_TRUE(request.wait().ok());
  EXPECT_EQ(static_cast<char>(request.body().front()), 'b');
  EXPECT_EQ(echo.greeted, 0);
}

TEST(Channel, GivesUpWhenTheSupervisorEnded) {
  Echo echo(true);
  echo.die();
  echo.page().supervisor.store(echo.page().server.load());
  Request request;
  request.begin(*echo.channel);
  request.post(wire::Op::stat, 0);
  EXPECT_EQ(request.wait().error(), Error(EIO));
  EXPECT_TRUE(echo.channel->dead());
}

TEST(Channel, SaysThatTheServerHungUp) {
  Echo echo(true);
  echo.hang_up();
  Request request;
  request.begin(*echo.channel);
  request.post(wire::Op::stat, 0);
  EXPECT_EQ(request.wait().error(), Error(EIO));
}

}  // namespace
}  // namespace benchfs
