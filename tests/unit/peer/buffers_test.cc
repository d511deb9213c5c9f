// TransferBuffers: bounded, in line, given back.
#include "daemon/peer/transfer_buffers.h"
#include "tests/unit/peer/cluster.h"

namespace benchfs::test {
namespace {

using peer::TransferBuffer;
using peer::TransferBuffers;

TEST(TransferBuffers, AreAlignedAndGivenBack) {
  EventLoop loop;
  TransferBuffers buffers(loop, 0);
  for (const std::size_t bytes : {1U, 20'000U, 1U << 20, 16U << 20}) {
    auto buffer = buffers.take_now(bytes);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(buffer->bytes().size(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->bytes().data()) % 4096, 0U);
    EXPECT_GE(buffers.lent_bytes(), bytes);
  }
  EXPECT_EQ(buffers.lent_bytes(), 0U);
}

TEST(TransferBuffers, WhoeverComesFirstIsServedFirst) {
  EventLoop loop;
  TransferBuffers buffers(loop, 0);  // 17 MiB
  auto all = buffers.take_now(16U << 20);
  auto rest = buffers.take_now(1U << 20);
  auto large = buffers.take(4U << 20);
  auto small = buffers.take(100);
  large.start();
  small.start();
  loop.turn(0);
  EXPECT_FALSE(large.done());
  EXPECT_FALSE(small.done());
  *rest = TransferBuffer();
  loop.turn(0);
  EXPECT_FALSE(large.done());
  EXPECT_FALSE(small.done());  // there is room, but another was first
  *all = TransferBuffer();
  loop.turn(0);
  ASSERT_TRUE(large.done());
  ASSERT_TRUE(small.done());
  {
    const auto one = large.take();
    const auto other = small.take();
    EXPECT_TRUE(one.ok() && other.ok());
  }
}

TEST(TransferBuffers, KeepsWhatIsNeededAndFreesWhatIsNot) {
  EventLoop loop;
  TransferBuffers buffers(loop, 0);
  EXPECT_FALSE(buffers.trim());
  const void* first = buffers.take_now(3U << 20)->bytes().data();
  EXPECT_TRUE(buffers.trim());
  EXPECT_EQ(buffers.take_now((3U << 20) - 5)->bytes().data(), first);
  EXPECT_TRUE(buffers.trim());
  EXPECT_FALSE(buffers.trim());
}

TEST(TransferBuffers, CloseEndsWaiting) {
  EventLoop loop;
  TransferBuffers buffers(loop, 0);
  auto all = buffers.take_now(16U << 20);
  auto waiting = buffers.take(2U << 20);
  waiting.start();
  buffers.close();
  loop.turn(0);
  ASSERT_TRUE(waiting.done());
  EXPECT_EQ(waiting.take().error(), Error(ECANCELED));
}

}  // namespace
}  // namespace benchfs::test
