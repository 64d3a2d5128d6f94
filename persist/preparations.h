#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/engine.h"

namespace karma {

/// What is computed of some requests before the lock under which they are executed. Keeps its memory. One
/// thread at a time.
class Preparations {
public:
    /// Prepares those of the requests that have to be.
    void prepare(std::span<const Request> requests, std::uint64_t hash_seed, std::int64_t now_ms);

    /// To be called for each request in order: what was prepared for it, or null.
    const PreparedMutation* next(const Request& request, const Engine& engine) noexcept;

private:
    Preparer preparer_;
    std::vector<PreparedMutation> prepared_;
    std::size_t count_ = 0;
    std::size_t next_ = 0;
};

}  // namespace karma
