#include "daemon/rpc/answers.h"

#include <algorithm>
#include <utility>

#include "common/ring.h"

namespace benchfs {
namespace {

std::uint64_t slot_number(std::uint64_t id) { return id % slots_per_client; }

}  // namespace

Answers::Slot* Answers::find(const RequestKey& request) const {
  const auto client = index_.find(request.client);
  if (client == index_.end()) return nullptr;
  auto& slots = client->second->slots;
  const auto slot = std::ranges::find(slots, request.id, &Slot::id);
  return slot == slots.end() ? nullptr : &*slot;
}

// Of those that asked least recently; one that is being served stays.
void Answers::make_space() {
  for (std::size_t tries = clients_.size(); clients_.size() >= clients_max_ && tries > 0; --tries) {
    const auto oldest = std::prev(clients_.end());
    if (std::ranges::any_of(oldest->slots, [](const Slot& slot) { return !slot.done; })) {
      clients_.splice(clients_.begin(), clients_, oldest);
      continue;
    }
    for (const Slot& slot : oldest->slots) bytes_ -= slot.answer.body.size();
    index_.erase(oldest->key);
    clients_.erase(oldest);
  }
}

Answers::Slot& Answers::slot_of(const RequestKey& request) {
  const auto known = index_.find(request.client);
  if (known == index_.end()) {
    make_space();
    clients_.push_front({.key = request.client, .slots = {}});
    index_.emplace(request.client, clients_.begin());
  } else {
    clients_.splice(clients_.begin(), clients_, known->second);
  }
  auto& slots = clients_.front().slots;
  const auto slot = std::ranges::find_if(
      slots, [&](const Slot& s) { return slot_number(s.id) == slot_number(request.id); });
  return slot == slots.end() ? slots.emplace_back() : *slot;
}

void Answers::wake(Slot& slot) {
  const auto waiting = std::exchange(slot.waiting, nullptr);
  if (waiting == nullptr) return;
  for (Completion* const completion : *waiting) completion->finish(0);
}

Answers::State Answers::begin(const RequestKey& request) {
  Slot& slot = slot_of(request);
  if (slot.id == request.id) return slot.done ? State::done : State::running;
  if (slot.id > request.id) return State::stale;
  // Whoever waits for the older one in vain looks again, and finds this.
  wake(slot);
  bytes_ -= slot.answer.body.size();
  slot.id = request.id;
  slot.kept = slot.done = false;
  slot.answer.body.clear();  // its memory is used again
  return State::fresh;
}

void Answers::keep(const RequestKey& request, const Answer& answer) {
  Slot* const slot = find(request);
  if (slot == nullptr) return;  // the client went on without it
  slot->kept = true;
  slot->answer = answer;
  bytes_ += slot->answer.body.size();
}

void Answers::finish(const RequestKey& request) {
  Slot* const slot = find(request);
  if (slot == nullptr || !slot->kept) return;
  slot->done = true;
  wake(*slot);
}

void Answers::forget(const RequestKey& request) {
  Slot* const slot = find(request);
  if (slot == nullptr) return;
  wake(*slot);
  auto& slots = index_.find(request.client)->second->slots;
  slots.erase(slots.begin() + (slot - slots.data()));
}

Task<int> Answers::wait(EventLoop& loop, RequestKey request) {
  Slot* const slot = find(request);
  if (slot == nullptr || slot->done) co_return 0;
  if (slot->waiting == nullptr) slot->waiting = std::make_unique<std::vector<Completion*>>();
  Completion done(loop);
  slot->waiting->push_back(&done);
  co_return co_await done;
}

Answer Answers::answer(const RequestKey& request) const {
  const Slot* const slot = find(request);
  return slot == nullptr ? Answer(Error(EIO)) : slot->answer;
}

AnswerRecord Answers::record_of(const RequestKey& request, const Answer& answer) {
  return {.process = request.client.process,
          .request_id = request.id,
          .host = request.client.host,
          .error = answer.error,
          .flags = answer.flags,
          .body_bytes = static_cast<std::uint32_t>(answer.body.size())};
}

bool Answers::restore(std::span<const std::byte> record) {
  const auto head = wire::parse<AnswerRecord>(record);
  if (!head.ok() || record.size() != sizeof(AnswerRecord) + head->body_bytes) return false;
  Slot& slot = slot_of({{head->host, head->process}, head->request_id});
  bytes_ -= slot.answer.body.size();
  slot.id = head->request_id;
  slot.kept = slot.done = true;
  slot.answer = Answer();
  slot.answer.error = head->error;
  slot.answer.flags = static_cast<std::uint16_t>(head->flags);
  slot.answer.append(record.subspan(sizeof(AnswerRecord)));
  bytes_ += slot.answer.body.size();
  return true;
}

std::vector<ClientKey> Answers::all() const {
  std::vector<ClientKey> keys;
  keys.reserve(clients_.size());
  for (auto client = clients_.rbegin(); client != clients_.rend(); ++client)
    keys.push_back(client->key);
  return keys;
}

}  // namespace benchfs
