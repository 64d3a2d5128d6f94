#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/error.h"
#include "net/access.h"
#include "net/op.h"

namespace karma::net {

/// Appends to `out` what a client is told in the place of a reply.
using WriteError = void (*)(const Error& error, std::string& out);

/// How the reply of a request is written.
enum class ReplyForm : std::uint8_t {
    v2,
    v1,
    v1_true,  // the same, and its response is `true` whatever was executed
};

/// What is known of a request beside what it asks, from decoding to its reply.
struct Call {
    const Op* op = nullptr;  // null: it was refused before that was known
    Access::Level access = Access::Level::none;
    ReplyForm form = ReplyForm::v2;
    std::size_t bytes = 0;                             // of the request, without its end
    std::chrono::steady_clock::time_point received{};  // its query timeout begins here
    WriteError write_error = nullptr;                  // in the form that its client understands
};

}  // namespace karma::net
