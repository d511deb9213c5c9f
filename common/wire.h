// The one set of messages: fixed structs, each perhaps followed by variable bytes.
//
// Little-endian, no padding, no pointers. They travel in ring slots (client to server) and in
// UCX active messages (server to server) alike; doc/wire.md explains them. A changed layout is a
// new Op. All lengths are bytes, all times nanoseconds since the epoch.
#pragma once

#include "common/wire/base.h"
#include "common/wire/checks.h"
#include "common/wire/files.h"
#include "common/wire/instance.h"
#include "common/wire/locks.h"
#include "common/wire/names.h"
#include "common/wire/parts.h"
#include "common/wire/transactions.h"
