#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/engine.h"

namespace karma {

/// Computes for some requests what needs no lock, before they are executed. Keeps its memory. Used by one
/// thread at a time.
class Preparations {
public:
    /// Prepares the requests that need it.
    void prepare(std::span<const Request> requests, std::uint64_t hash_seed, std::int64_t now_ms);

    /// Returns what was prepared for a request, or null. Called once for each request, in order.
    const PreparedMutation* next(const Request& request, const Engine& engine) noexcept;

private:
    Preparer preparer_;
    std::vector<PreparedMutation> prepared_;
    std::size_t count_ = 0;
    std::size_t next_ = 0;
};

}  // namespace karma
