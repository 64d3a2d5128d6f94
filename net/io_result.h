#pragma once

#include <cstddef>
#include <cstdint>

namespace karma::net {

enum class IoState : std::uint8_t {
    done,
    would_block,
    ended,  // the other end sends no more
    failed,
};

/// The result of a non-blocking read or write.
struct IoResult {
    std::size_t size = 0;  // bytes; more than 0 only if `state` is done
    IoState state = IoState::done;
};

}  // namespace karma::net
