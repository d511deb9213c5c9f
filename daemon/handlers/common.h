// What several handlers need: the walk with its waits, sizes that open hosts know, the end of an
// inode nobody names or has open.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/loop/completion.h"
#include "daemon/rpc/server.h"

namespace benchfs {

// Walks from `where` along the first where.path_bytes of `tail`, waiting for locked names. The
// Walked is valid until the next suspension; who then locks its name looks at the entry again. An
// Answer is to be sent as it is: redirect or error.
using Arrival = std::variant<Walked, Answer>;
// Who would make a missing last component, or remove the one that is there, waits until it is clear
// whether the directory is being removed or split; then it must do so before the next suspension.
enum class Intent : std::uint8_t { look, create, remove };
Task<Arrival> arrive(Server& server, const Caller& caller, wire::Where where,
                     std::span<const std::byte> tail, bool to_name, Intent intent = Intent::look);

// Waits while a change under way has the name locked, or the inode (name empty). What is true then
// is true until the next suspension. EIO: whoever decides it is gone.
Task<Status> wait_for_decision(Server& server, std::uint64_t inode, std::string name);

// Asks the hosts that have the file open for writing what size and times they know, and keeps it in
// the inode, which may have gone when the task is done. Tells all that have it open `news`
// (wire::News), if there are any.
Task<Status> refresh(Server& server, std::uint64_t number, std::uint32_t news);

// Learns from the ranks of its chunks how many blocks a file takes, if it may have holes. What
// cannot be learnt, or changes meanwhile, stays unknown: the size's estimate.
Task<Status> count_blocks(Server& server, std::uint64_t number);

// The ranks that may hold chunks of bytes [from, to).
std::vector<std::uint32_t> chunk_ranks(const Server& server, std::uint64_t inode,
                                       std::uint64_t from, std::uint64_t to);

// The parts of a directory at home here that was split, by number; none if it was not.
std::vector<std::uint64_t> parts_here(const Inode& directory);
// Of any directory.
Task<Result<std::vector<std::uint64_t>>> parts_of(Server& server, std::uint64_t directory);
// Of a directory at home here, its parts counted in.
Task<Result<wire::Attributes>> attributes_of_whole(Server& server, std::uint64_t directory);
// Tells the parts the directory's mode and owner. The first error.
Task<Status> tell_parts(Server& server, std::uint64_t directory, std::uint32_t mode,
                        std::uint32_t uid, std::uint32_t gid);

// Sets the size of a file: freezes its writers on every host, cuts chunks, thaws.
Task<Status> set_size(Server& server, std::uint64_t number, std::uint64_t size);

// The bytes of a small file lie in chunks afterwards: freezes its writers as well.
Task<Status> move_to_chunks(Server& server, std::uint64_t number);
// The same within open.mutex, which the caller holds, and with it the inode.
Task<Status> move_to_chunks_locked(Server& server, Inode& inode);
// Keeps the content of a small file that another host sent. False: no cell is free.
bool keep_content(Server& server, Inode& inode, std::string_view content);
// Puts a small file's content into its first chunk, which nobody else writes meanwhile.
Task<Status> write_first_chunk(Server& server, std::uint64_t number, std::string content);

// Erases the inode and its chunks if no name and no open is left.
void remove_if_unused(Server& server, const Inode& inode);
// The same after a host may have closed it.
void close_if_unused(Server& server, std::uint64_t number);
// Removes the chunks of inodes that were erased before a restart.
void finish_cuts(Server& server);

// Asks a host about an inode until it knows the session or closed it: the answer to its open may
// still be on its way. EIO: it does not come to know it within the request time-out. `content`:
// gets what follows the answer.
template <class M>
Task<Result<wire::HostSizeReply>> ask_open_host(Server& server, std::uint32_t host, M message,
                                                std::string* content = nullptr) {
  const std::int64_t deadline =
      sys::now_ns() + std::int64_t{server.config.network.request_timeout_ms} * 1'000'000;
  for (std::int64_t nap = 100'000;; nap = std::min(nap * 2, std::int64_t{5'000'000})) {
    auto reply = co_await server.ask(host, message, {}, content);
    if (!reply.ok() || reply->session >= message.session) co_return reply;
    if (session_of(server, message.inode, host) != message.session) co_return wire::HostSizeReply{};
    if (sys::now_ns() > deadline) co_return Error(EIO);
    co_await server.loop.sleep(nap);
  }
}

// A host's session of an inode at home here; 0: it has no opens.
std::uint64_t session_of(Server& server, std::uint64_t inode, std::uint32_t host);

// What the clients of this host know of an inode.
inline wire::HostSizeReply host_size_here(Server& server, std::uint64_t inode, std::uint32_t news) {
  const HostSize here = server.table.host_size(server.self, inode, news);
  return {.session = here.session,
          .size = here.size,
          .modified = here.modified,
          .accessed = here.accessed,
          .flags = here.sparse ? std::uint32_t{wire::HostFlag::sparse} : 0,
          .stored = here.stored,
          .content_bytes = 0};
}

// What a host reported counts, if it is of the host's current session: then true.
bool learn(Server& server, const Inode& inode, std::uint32_t host,
           const wire::HostSizeReply& reply);

template <class Reply>
Task<int> keep_reply(Task<Result<Reply>> question, Result<Reply>* reply, int* missing,
                     Completion* all) {
  *reply = co_await question;
  if (--*missing == 0) all->finish(0);
  co_return 0;
}

// Asks several ranks at once, each by ask(rank), and waits for all.
template <class Reply, class Ask>
Task<std::vector<Result<Reply>>> ask_all(Server& server, const std::vector<std::uint32_t>& ranks,
                                         Ask ask) {
  std::vector<Result<Reply>> replies(ranks.size(), Result<Reply>(Error(EIO)));
  if (ranks.empty()) co_return replies;
  Completion all(server.loop);
  int missing = static_cast<int>(ranks.size());
  for (std::size_t i = 0; i < ranks.size(); ++i)
    server.loop.spawn(keep_reply<Reply>(ask(ranks[i]), &replies[i], &missing, &all));
  co_await all;
  co_return replies;
}

inline std::int64_t now() { return sys::now_ns(CLOCK_REALTIME); }

}  // namespace benchfs
