#include "daemon/rpc/bulk.h"

#include "common/ring.h"

namespace benchfs {
namespace {

template <wire::Message M>
Result<Bulk> bulk_in(std::span<const std::byte> body, bool sent) {
  TRY(const M request, wire::parse<M>(body));
  if (request.bytes > pool_buffer_bytes) return Error(EINVAL);
  return Bulk{.buffer = request.buffer, .bytes = request.bytes, .sent = sent};
}

}  // namespace

Result<Bulk> bulk_of(wire::Op op, std::span<const std::byte> body) {
  switch (op) {
    case wire::Op::read_chunk:
      return bulk_in<wire::ReadChunk>(body, false);
    case wire::Op::write_chunk:
      return bulk_in<wire::WriteChunk>(body, true);
    case wire::Op::get_xattr:
      return bulk_in<wire::GetXattr>(body, false);
    case wire::Op::set_xattr:
      return bulk_in<wire::SetXattr>(body, true);
    case wire::Op::list_xattrs:
      return bulk_in<wire::ListXattrs>(body, false);
    default:
      return Bulk{};
  }
}

}  // namespace benchfs
