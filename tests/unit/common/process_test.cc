#include "common/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

#include "common/sys.h"

namespace benchfs {
namespace {

TEST(Process, IsAliveUntilItIsAZombie) {
  const pid_t child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  const ProcessId process = process_id(child);
  ASSERT_NE(process, 0u);
  EXPECT_EQ(pid_of(process), child);
  EXPECT_TRUE(is_alive(process));
  EXPECT_FALSE(is_alive(process + (std::uint64_t{1} << 32))) << "another of that number";
  ::kill(child, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(is_alive(process)) << "before it is waited for";
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_alive(process));
}

TEST(Process, LivesOnWhenItsFirstThreadHasEnded) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::thread([] {
      for (;;) ::pause();
    }).detach();
    ::syscall(SYS_exit, 0);  // this thread alone
  }
  const ProcessId process = process_id(child);
  std::string status;
  const std::int64_t deadline = sys::now_ns() + 10'000'000'000;
  while (status.find(") Z ") == std::string::npos && sys::now_ns() < deadline) {
    std::ifstream file("/proc/" + std::to_string(child) + "/stat");
    std::getline(file, status);
  }
  ASSERT_NE(status.find(") Z "), std::string::npos) << status;
  EXPECT_TRUE(is_alive(process));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_alive(process));
}

}  // namespace
}  // namespace benchfs
